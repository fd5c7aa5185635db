// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Wan-Digits, the trained model of the repository: one forward of its denoiser and one sampling
// step with guidance (two forwards and the solver), original against compressed. "dense" runs
// LibTorch's kernels through wanlite's modules; LibTorch_int8_dynamic has LibTorch's INT8 in the
// same layers.
//
//   bench_step [--model=DIR] [flags of Google Benchmark]     DIR: examples/digits/model

#include "absl/strings/strip.h"
#include "bench/harness.h"
#include "bench/torch_int8.h"
#include "src/core/libtorch.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/sampler.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/metrics.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/status.h"

namespace wanlite::bench {
namespace {

constexpr char kComponent[] = "transformer";
constexpr double kGuidance = 4.0;
const VideoShape kClip{.frames = 17, .height = 64, .width = 64, .text_tokens = 26};

struct Model {
  ModelView view;
  std::shared_ptr<wan::Dit> dit;
  double ops = 0, int8_ops = 0;  // of one forward
};

absl::StatusOr<ModelView> LoadView(const std::string& dir, at::ScalarType dtype) {
  OpenOptions options;
  options.components = {kComponent};
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(PosixEnv(), dir, options, BuiltinArchitectures()));
  WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
  WANLITE_RETURN_IF_ERROR(view.LoadAll());
  WANLITE_RETURN_IF_ERROR(view.Cast(dtype));
  return view;
}

absl::Status Compress(ModelView& view, const std::string& recipe_text) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Parse(recipe_text, "bench_step", BuiltinPasses()));
  return CompressInMemory(recipe, view).status();
}

// LibTorch's INT8 in place of wanlite's: in the layers that the pass chose, from the weights it
// had.
absl::Status UseTorchInt8(ModelView& view, const std::string& recipe_text, const std::string& dir) {
  WANLITE_ASSIGN_OR_RETURN(ModelView chosen, LoadView(dir, at::kFloat));
  WANLITE_RETURN_IF_ERROR(Compress(chosen, recipe_text));
  for (const LinearInfo& linear : chosen.linears()) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* quantized, chosen.Weight(linear.path));
    if (quantized->format() != "int8") continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* dense, view.Weight(linear.path));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor bias, view.FindTensor(linear.path + ".bias"));
    WANLITE_RETURN_IF_ERROR(view.SetLinearWeight(
        linear.path, MakeTorchDynamicInt8(dense->Dequantize(), bias.detach())));
  }
  return absl::OkStatus();
}

enum class Weights {
  kLibTorch,      // as LibTorch's own modules compute
  kLibTorchInt8,  // INT8 by LibTorch
  kWanlite,       // as the runner has them: laid out for the machine
  kWanliteInt8,
};

absl::StatusOr<Model> Load(const std::string& dir, at::ScalarType dtype, Weights weights,
                           const std::string& recipe_text) {
  WANLITE_ASSIGN_OR_RETURN(ModelView view, LoadView(dir, dtype));
  if (weights == Weights::kWanliteInt8) WANLITE_RETURN_IF_ERROR(Compress(view, recipe_text));
  if (weights == Weights::kLibTorchInt8) {
    WANLITE_RETURN_IF_ERROR(UseTorchInt8(view, recipe_text, dir));
  }
  auto dit = std::dynamic_pointer_cast<wan::Dit>(view.FindComponent(kComponent)->module);
  if (dit == nullptr) return absl::InvalidArgumentError(dir + " holds no Wan transformer");
  WANLITE_ASSIGN_OR_RETURN(const ModelOps ops, CountOps(view, kClip));
  const OpCount total = ops.denoisers.at(kComponent).total();
  // After the counting, which wants weights as they are stored.
  if (weights == Weights::kWanlite || weights == Weights::kWanliteInt8) {
    WANLITE_RETURN_IF_ERROR(view.PackWeights());
  }
  return Model{std::move(view), std::move(dit), total.dense, total.int8};
}

struct Input {
  at::Tensor latents;         // [1, channels, 5, 8, 8]
  at::Tensor text, negative;  // [1, 26, text_dim]
};

Input MakeInput(const wan::DitConfig& config) {
  const auto text = [&](uint64_t seed) {
    return wan::InitialLatents({1, kClip.text_tokens, config.text_dim}, seed);
  };
  return {wan::InitialLatents({1, config.in_channels, 5, 8, 8}, 1), text(2), text(3)};
}

at::Tensor Forward(const Model& model, const Input& input) {
  return model.dit->forward(input.latents, at::full({1}, 500, at::kLong), input.text)
      .to(at::kFloat);
}

at::Tensor GuidedStep(const Model& model, const Input& input) {
  wan::SampleOptions options;
  options.num_steps = 1;
  options.guidance = kGuidance;
  const wan::Denoiser denoiser = [&](const at::Tensor& latents, const at::Tensor& timestep,
                                     const at::Tensor& text) -> absl::StatusOr<at::Tensor> {
    return model.dit->forward(latents, timestep, text).to(at::kFloat);
  };
  return ValueOrExit(
      wan::Sample(options, denoiser, nullptr, input.latents, input.text, input.negative));
}

using ModelPtr = std::shared_ptr<Lazy<Model>>;

// counted: the model whose operations are `model`'s; the counter knows wanlite's formats.
void AddModel(const std::string& variant, const ModelPtr& reference, const ModelPtr& model,
              const ModelPtr& counted, bool bf16) {
  const auto add = [=](const std::string& group, double forwards,
                       at::Tensor (*run)(const Model&, const Input&)) {
    const auto error = MakeLazy<double>([=] {
      const Input input = MakeInput((*model)->dit->config());
      return RelativeError(run(**model, input), run(**reference, input));
    });
    Add(group, variant, [=](benchmark::State& state) {
      const Model& m = **model;
      const Input input = MakeInput(m.dit->config());
      Time(state, [&] { return run(m, input); });
      const double int8 = forwards * (*counted)->int8_ops;
      const double dense = forwards * (*counted)->ops - int8;
      SetWork(state, {.fp32_op = bf16 ? 0 : dense, .bf16_op = bf16 ? dense : 0, .int8_op = int8});
      SetError(state, **error);
    });
  };
  add("denoiser_forward/wan_digits", 1, Forward);
  add("guided_step/wan_digits", 2, GuidedStep);
}

void AddAll(const std::string& dir) {
  const std::string plain = "passes { quantize_int8 { } }";
  const std::string rotated = "passes { quantize_int8 { rotation: CONVROT } }";
  const auto model = [=](at::ScalarType dtype, Weights weights, const std::string& recipe = "") {
    return MakeLazy<Model>([=] { return ValueOrExit(Load(dir, dtype, weights, recipe)); });
  };
  const ModelPtr dense = model(at::kFloat, Weights::kLibTorch);
  const ModelPtr half = model(at::kBFloat16, Weights::kLibTorch);
  const ModelPtr packed = model(at::kFloat, Weights::kWanlite);
  const ModelPtr torch = model(at::kFloat, Weights::kLibTorchInt8, plain);
  const ModelPtr int8 = model(at::kFloat, Weights::kWanliteInt8, plain);
  const ModelPtr convrot = model(at::kFloat, Weights::kWanliteInt8, rotated);
  AddModel("LibTorch_fp32", dense, dense, dense, false);
  AddModel("LibTorch_bf16", dense, half, half, true);
  AddModel("wanlite_fp32", dense, packed, dense, false);
  AddModel("LibTorch_int8_dynamic", dense, torch, int8, false);
  AddModel("wanlite_int8", dense, int8, int8, false);
  AddModel("wanlite_int8_convrot", dense, convrot, convrot, false);
}

}  // namespace
}  // namespace wanlite::bench

int main(int argc, char** argv) {
  std::string dir = "examples/digits/model";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--model=")) {
      dir = std::string(argument);
    } else {
      argv[kept++] = argv[i];
    }
  }
  wanlite::bench::AddAll(dir);
  return wanlite::bench::Main(kept, argv, "LibTorch_fp32");
}
