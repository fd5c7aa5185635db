// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/input_scaling.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// offset + entry of some entries along dim 0, divided; as a copy.
at::Tensor Divided(const at::Tensor& tensor, const ScaledTensor& source,
                   const at::Tensor& divisors) {
  at::Tensor wide = tensor.detach().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  at::Tensor part = wide.narrow(0, source.begin, divisors.size(0));
  const at::Tensor by = part.dim() == 2 ? divisors.unsqueeze(1) : divisors;
  if (source.offset == 0) {
    part.div_(by);
  } else {
    part.add_(source.offset).div_(by).sub_(source.offset);
  }
  return wide.to(tensor.scalar_type());
}

absl::Status DivideSource(ModelView& model, const ScaledTensor& source,
                          const at::Tensor& divisors) {
  if (model.FindLinear(source.path) == nullptr) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor tensor, model.FindTensor(source.path));
    return model.SetTensor(source.path,
                           Divided(tensor.flatten(), source, divisors).view(tensor.sizes()));
  }
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, source.path));
  WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(
      source.path, MakeDenseWeight(Divided(*weight->dense(), source, divisors))));
  const std::string bias_path = absl::StrCat(source.path, ".bias");
  const absl::StatusOr<at::Tensor> bias = model.FindTensor(bias_path);
  if (!bias.ok()) return absl::OkStatus();
  return model.SetTensor(bias_path, Divided(*bias, source, divisors));
}

absl::Status MultiplyReader(ModelView& model, const std::string& path, const at::Tensor& factors) {
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, path));
  const at::Tensor& matrix = *weight->dense();
  return model.SetLinearWeight(
      path, MakeDenseWeight(matrix.detach().to(at::kFloat).mul(factors).to(matrix.scalar_type())));
}

}  // namespace

std::vector<InputScaling> InputScalingsOf(const Component& component) {
  const auto* scalable = dynamic_cast<const InputScalable*>(component.module.get());
  if (scalable == nullptr) return {};
  std::vector<InputScaling> scalings = scalable->InputScalings();
  if (component.name.empty()) return scalings;
  const auto full = [&](std::string& path) { path = absl::StrCat(component.name, ".", path); };
  for (InputScaling& scaling : scalings) {
    full(scaling.name);
    for (std::string& reader : scaling.readers) full(reader);
    for (ScaledTensor& source : scaling.sources) full(source.path);
  }
  return scalings;
}

absl::Status ScaleInput(ModelView& model, const InputScaling& scaling, const at::Tensor& divisors,
                        absl::string_view block) {
  return CatchTorch([&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    for (const ScaledTensor& source : scaling.sources) {
      if (model.BlockOf(source.path) != block) continue;
      WANLITE_RETURN_IF_ERROR(DivideSource(model, source, divisors));
    }
    for (const std::string& reader : scaling.readers) {
      if (model.BlockOf(reader) != block) continue;
      WANLITE_RETURN_IF_ERROR(MultiplyReader(model, reader, divisors));
    }
    return absl::OkStatus();
  });
}

}  // namespace wanlite
