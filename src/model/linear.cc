// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <torch/torch.h>

#include <limits>
#include <utility>

#include "wanlite/nn.h"

namespace wanlite::nn {
namespace {

thread_local bool hollow_mode = false;

at::Tensor NewHollow(at::IntArrayRef shape, at::ScalarType dtype) {
  at::NoGradGuard no_grad;
  const at::Tensor one = at::empty({1}, at::TensorOptions().dtype(dtype));
  if (at::isFloatingType(dtype)) {
    one.fill_(std::numeric_limits<double>::quiet_NaN());
  } else {
    one.zero_();
  }
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  if (numel == 0) return at::empty(shape, at::TensorOptions().dtype(dtype));
  const std::vector<int64_t> strides(shape.size(), 0);
  return one.as_strided(shape, strides).detach();
}

}  // namespace

HollowGuard::HollowGuard() : previous_(hollow_mode) { hollow_mode = true; }
HollowGuard::~HollowGuard() { hollow_mode = previous_; }

at::Tensor NewTensor(at::IntArrayRef shape, at::ScalarType dtype) {
  return hollow_mode ? NewHollow(shape, dtype) : at::empty(shape, at::TensorOptions().dtype(dtype));
}

at::Tensor HollowLike(const at::Tensor& tensor) {
  return NewHollow(tensor.sizes(), tensor.scalar_type());
}

bool IsHollow(const at::Tensor& tensor) {
  if (tensor.numel() <= 1 || tensor.storage().nbytes() != static_cast<size_t>(tensor.element_size())) return false;
  for (const int64_t stride : tensor.strides()) {
    if (stride != 0) return false;
  }
  return true;
}

Linear::Linear(int64_t in_features, int64_t out_features, bool bias, at::ScalarType dtype)
    : weight_(MakeDenseWeight(NewTensor({out_features, in_features}, dtype))) {
  RegisterWeight();
  if (bias) SetBias(NewTensor({out_features}, dtype));
}

at::Tensor Linear::forward(const at::Tensor& x) const { return weight_->Apply(x, bias_); }

void Linear::RegisterWeight() {
  // Non-trainable tensors are registered as parameters too: LibTorch has no way to take a buffer back.
  for (const NamedTensor& state : weight_->State()) {
    register_parameter(state.name, state.tensor, weight_->trainable());
  }
}

void Linear::UnregisterWeight() {
  for (const NamedTensor& state : weight_->State()) parameters_.erase(state.name);
}

void Linear::SetWeight(std::unique_ptr<LinearWeight> weight, bool resize) {
  TORCH_CHECK(weight != nullptr, "Linear::SetWeight: no weight given");
  TORCH_CHECK(resize || (weight->in_features() == in_features() &&
                         weight->out_features() == out_features()),
              "Linear::SetWeight: weight is [", weight->out_features(), ", ", weight->in_features(),
              "], the layer is [", out_features(), ", ", in_features(), "]");
  // The bias stays last in the order of tensors.
  std::optional<at::Tensor> bias = bias_;
  SetBias(std::nullopt);
  UnregisterWeight();
  weight_ = std::move(weight);
  RegisterWeight();
  SetBias(std::move(bias));
}

void Linear::SetBias(std::optional<at::Tensor> bias) {
  if (bias_.has_value()) parameters_.erase("bias");
  bias_ = std::move(bias);
  if (bias_.has_value()) register_parameter("bias", *bias_, bias_->is_floating_point());
}

}  // namespace wanlite::nn
