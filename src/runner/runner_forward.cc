// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "src/runner/runner_rep.h"

namespace wanlite {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

struct InputSpec {
  std::string name;
  std::vector<int64_t> dims;  // numbers of axes that are taken
  bool floating = true;       // floating; else integer, or either with `any_type`
  bool any_type = false;
  bool required = true;
};

absl::Status CheckInputs(absl::string_view component, const Tensors& inputs,
                         const std::vector<InputSpec>& specs) {
  std::vector<std::string> known;
  for (const InputSpec& spec : specs) {
    known.push_back(spec.name);
    const auto found = inputs.find(spec.name);
    if (found == inputs.end()) {
      if (!spec.required) continue;
      std::vector<std::string> names;
      for (const auto& [name, tensor] : inputs) names.push_back(name);
      return absl::InvalidArgumentError(
          absl::StrCat(component, ": input '", spec.name,
                       "' is missing; given are: ", absl::StrJoin(names, ", ")));
    }
    const at::Tensor& tensor = found->second;
    const bool type_fits =
        spec.any_type ? !tensor.is_complex()
                      : spec.floating == tensor.is_floating_point() && !tensor.is_complex();
    const bool dim_fits =
        std::find(spec.dims.begin(), spec.dims.end(), tensor.dim()) != spec.dims.end();
    if (!type_fits || !dim_fits || tensor.numel() == 0) {
      return absl::InvalidArgumentError(absl::StrCat(component, ": input '", spec.name, "' is ",
                                                     TensorText(tensor), ", wanted is a not empty ",
                                                     spec.any_type   ? "number"
                                                     : spec.floating ? "floating"
                                                                     : "integer",
                                                     " tensor of ",
                                                     absl::StrJoin(spec.dims, " or "), " axes"));
    }
  }
  for (const auto& [name, tensor] : inputs) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat(component, ": unknown input '", name,
                                                     "'; it takes: ", absl::StrJoin(known, ", ")));
    }
  }
  return absl::OkStatus();
}

// Runs `forward` and names the component in what goes wrong. A failed check inside it is about the
// inputs' sizes: the weights were checked when they were loaded.
template <typename Forward>
absl::StatusOr<Tensors> Run(absl::string_view component, const std::string& output,
                            Forward&& forward) {
  absl::StatusOr<at::Tensor> result = CatchTorch([&]() -> at::Tensor {
    const at::NoGradGuard no_grad;
    return forward().to(at::kCPU, at::kFloat).contiguous();
  });
  if (!result.ok()) {
    absl::Status status = result.status();
    if (absl::IsInternal(status) && !status.GetPayload(kDeviceLostPayload)) {
      status = absl::InvalidArgumentError(status.message());
    }
    return Annotate(status, component);
  }
  return Tensors{{output, *std::move(result)}};
}

}  // namespace

absl::StatusOr<std::map<std::string, at::Tensor>> Runner::Forward(absl::string_view component,
                                                                  const Tensors& inputs) {
  return CatchTorch([&] { return ForwardOrThrow(component, inputs); });
}

absl::StatusOr<std::map<std::string, at::Tensor>> Runner::ForwardOrThrow(
    absl::string_view component, const Tensors& inputs) {
  Rep& rep = *rep_;
  const std::string name(component);
  const auto at_device = [&](const char* input) { return inputs.at(input).to(rep.options.device); };

  if (name == "transformer" || name == "transformer_2") {
    WANLITE_RETURN_IF_ERROR(CheckInputs(name, inputs,
                                        {{"hidden_states", {5}},
                                         {"timestep", {0, 1, 2}, false, true},
                                         {"encoder_hidden_states", {3}}}));
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<wan::Dit> dit, rep.LoadDenoiser(name));
    return Run(name, "sample", [&] {
      const at::Tensor hidden_states = at_device("hidden_states");
      at::Tensor timestep = at_device("timestep");
      // One timestep for the whole batch, as [] or [1].
      if (timestep.dim() < 2 && timestep.numel() == 1) {
        timestep = timestep.reshape({1}).expand({hidden_states.size(0)}).contiguous();
      }
      return dit->forward(hidden_states, timestep, at_device("encoder_hidden_states"));
    });
  }
  if (name == "text_encoder") {
    WANLITE_RETURN_IF_ERROR(CheckInputs(
        name, inputs, {{"input_ids", {2}, false}, {"attention_mask", {2}, false, true, false}}));
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<wan::Umt5> encoder, rep.LoadAs<wan::Umt5>(name));
    return Run(name, "last_hidden_state", [&] {
      const at::Tensor ids = at_device("input_ids").to(at::kLong);
      const at::Tensor mask =
          inputs.count("attention_mask") > 0 ? at_device("attention_mask") : at::ones_like(ids);
      return encoder->forward(ids, mask);
    });
  }
  if (name == "vae.encode") {
    WANLITE_RETURN_IF_ERROR(CheckInputs(name, inputs, {{"sample", {5}}}));
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<wan::Vae> vae, rep.LoadAs<wan::Vae>("vae"));
    return Run(name, "mean", [&] { return vae->Encode(at_device("sample")).mean; });
  }
  if (name == "vae.decode") {
    WANLITE_RETURN_IF_ERROR(CheckInputs(name, inputs, {{"latents", {5}}}));
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<wan::Vae> vae, rep.LoadAs<wan::Vae>("vae"));
    return Run(name, "sample", [&] { return vae->Decode(at_device("latents")); });
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown component '", name,
      "', there are: transformer, transformer_2, text_encoder, vae.encode, vae.decode"));
}

}  // namespace wanlite
