// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/held_zeros.h"

#include <utility>

#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite::train {

at::Tensor KeptEntries(const at::Tensor& matrix) {
  const at::Tensor kept = matrix.detach() != 0;
  const auto entries = static_cast<double>(kept.numel());
  const double zeros = entries - static_cast<double>(kept.sum().item<int64_t>());
  return zeros > kPrunedShare * entries && zeros < entries ? kept : at::Tensor();
}

absl::StatusOr<HeldZeros> HeldZeros::Of(ModelView& model, absl::string_view component) {
  HeldZeros held(model);
  for (const LinearInfo& linear : model.linears()) {
    if (model.ComponentOf(linear.path).name != component) continue;
    WANLITE_RETURN_IF_ERROR(held.Hold(linear));
  }
  return held;
}

absl::StatusOr<HeldZeros> HeldZeros::OfBlock(ModelView& model, absl::string_view block) {
  HeldZeros held(model);
  for (const LinearInfo& linear : model.linears()) {
    if (linear.block == block) WANLITE_RETURN_IF_ERROR(held.Hold(linear));
  }
  return held;
}

absl::Status HeldZeros::Hold(const LinearInfo& linear) {
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model_->Weight(linear.path));
  if (weight->dense() == nullptr || weight->dense()->dim() != 2) return absl::OkStatus();
  const at::Tensor mask = KeptEntries(*weight->dense());
  if (!mask.defined()) return absl::OkStatus();
  Layer layer{linear.path, nullptr, mask};
  WANLITE_ASSIGN_OR_RETURN(layer.dense, weight->Share());
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, weight->Share());
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> masked,
                           MakeMaskedWeight(std::move(base), mask));
  WANLITE_RETURN_IF_ERROR(model_->SetLinearWeight(linear.path, std::move(masked)));
  layers_.push_back(std::move(layer));
  return absl::OkStatus();
}

absl::Status HeldZeros::Restore() {
  for (Layer& layer : std::exchange(layers_, {})) {
    WANLITE_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
      const at::NoGradGuard no_grad;
      const at::Tensor& matrix = *layer.dense->dense();
      matrix.set_data(matrix.detach().masked_fill(layer.mask.to(matrix.device()).logical_not(), 0));
      return model_->SetLinearWeight(layer.path, std::move(layer.dense));
    }));
  }
  return absl::OkStatus();
}

HeldZeros::HeldZeros(HeldZeros&& other) noexcept
    : model_(other.model_), layers_(std::exchange(other.layers_, {})) {}

HeldZeros::~HeldZeros() { Restore().IgnoreError(); }

}  // namespace wanlite::train
