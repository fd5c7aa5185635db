// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/check_scales.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "wanlite/linear_weight.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Scales that are fp8 themselves are codes of a further scale.
bool IsScale(const WeightTensor& state) {
  return state.role == WeightTensor::Role::kScale ||
         (state.tensor.is_floating_point() && absl::StartsWith(state.name, "weight_scale"));
}

// Whether inputs are divided by it, so that none may be zero: scales of one value or of one for
// each input feature, where those of the weight have one or more for each of its rows.
bool DividesInputs(const WeightTensor& state) {
  return state.tensor.dim() < 2 && !absl::StartsWith(state.name, "weight");
}

// Index of the first row of codes that belong to a zero scale and differ; -1 when there is none.
int64_t FirstRowOfLostCodes(const at::Tensor& codes, const at::Tensor& zero_scale) {
  const int64_t rows = zero_scale.size(0), groups = zero_scale.size(1);
  if (codes.dim() != 2 || codes.size(0) != rows || codes.size(1) % groups != 0) return -1;
  const at::Tensor affected = zero_scale.any(1).nonzero().flatten();
  for (int64_t i = 0; i < affected.numel(); ++i) {
    const int64_t row = affected[i].item<int64_t>();
    at::Tensor bytes = codes[row].contiguous().view(at::kByte);
    // fp8 has two zeros.
    if (codes.is_floating_point()) bytes = bytes.bitwise_and(0x7f);
    bytes = bytes.view({groups, -1});
    const at::Tensor differs = bytes.ne(bytes.select(1, 0).unsqueeze(1)).any(1);
    if (differs.logical_and(zero_scale[row]).any().item<bool>()) return row;
  }
  return -1;
}

absl::Status CheckWeight(const std::string& path, const LinearWeight& weight) {
  const std::vector<WeightTensor> states = weight.State();
  for (const WeightTensor& state : states) {
    if (!IsScale(state) || state.tensor.numel() == 0 || nn::IsHollow(state.tensor)) continue;
    const auto fail = [&](auto&&... parts) {
      return absl::InvalidArgumentError(absl::StrCat(path, ".", state.name, " (",
                                                     TensorText(state.tensor), ") of the ",
                                                     weight.format(), " weight ", parts...));
    };
    const bool positive = DividesInputs(state);
    at::Tensor scale = state.tensor.detach().to(at::kCPU, at::kFloat);
    // Of a scale that trains the magnitude counts.
    if (state.trains) scale = scale.abs();
    const at::Tensor good = scale.isfinite().logical_and(positive ? scale > 0 : scale >= 0);
    if (!good.all().item<bool>()) {
      const int64_t index = good.logical_not().flatten().to(at::kByte).argmax().item<int64_t>();
      return fail("holds ", scale.flatten()[index].item<float>(), " at flat index ", index,
                  "; a scale is finite and ", positive ? "above 0" : "not below 0");
    }
    // Scales that are codes themselves round to zero where there was little.
    if (scale.dim() != 2 || state.role != WeightTensor::Role::kScale ||
        states.front().role != WeightTensor::Role::kCode) {
      continue;
    }
    const at::Tensor zero = scale.eq(0);
    if (!zero.any().item<bool>()) continue;
    const int64_t row = FirstRowOfLostCodes(states.front().tensor.detach().to(at::kCPU), zero);
    if (row >= 0) {
      return fail("holds a 0 for codes of row ", row, " that are not those of zeros");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckScales(const ModelView& model, absl::string_view block) {
  return CatchTorch([&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    for (const LinearInfo& linear : model.weights()) {
      if (!block.empty() && linear.block != block) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      if (weight->dense() == nullptr) WANLITE_RETURN_IF_ERROR(CheckWeight(linear.path, *weight));
    }
    return absl::OkStatus();
  });
}

}  // namespace wanlite
