// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/frozen_product.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <memory>
#include <utility>
#include <vector>

#include "src/core/libtorch.h"

namespace wanlite {
namespace {

class FrozenProductBackward : public torch::autograd::Node {
 public:
  FrozenProductBackward(std::function<at::Tensor()> matrix, const at::Tensor& x,
                        std::optional<at::ScalarType> bias_dtype)
      : matrix_(std::move(matrix)),
        shape_(x.sizes().vec()),
        dtype_(x.scalar_type()),
        bias_dtype_(bias_dtype) {}
  std::string name() const override { return "FrozenProductBackward"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const at::NoGradGuard no_grad;
    if (!gradients[0].defined()) return {at::Tensor(), at::Tensor()};
    const at::Tensor dy = gradients[0].to(at::kFloat).reshape({-1, gradients[0].sizes().back()});
    at::Tensor dx, dbias;
    if (task_should_compute_output(0)) dx = dy.matmul(matrix_()).reshape(shape_).to(dtype_);
    if (bias_dtype_.has_value() && task_should_compute_output(1)) {
      dbias = dy.sum(0).to(*bias_dtype_);
    }
    return {dx, dbias};
  }
  void release_variables() override { matrix_ = nullptr; }

 private:
  std::function<at::Tensor()> matrix_;
  const std::vector<int64_t> shape_;
  const at::ScalarType dtype_;
  const std::optional<at::ScalarType> bias_dtype_;
};

}  // namespace

bool WantsGradients(const Activation& x, const std::optional<at::Tensor>& bias) {
  return at::GradMode::is_enabled() &&
         (x.requires_grad() || (bias.has_value() && bias->requires_grad()));
}

at::Tensor ThroughFrozenMatrix(const at::Tensor& y, const at::Tensor& x,
                               const std::optional<at::Tensor>& bias,
                               std::function<at::Tensor()> matrix) {
  const at::Tensor no_bias;
  const at::Tensor& bias_or_none = bias.has_value() ? *bias : no_bias;
  std::optional<at::ScalarType> bias_dtype;
  if (bias.has_value()) bias_dtype = bias->scalar_type();
  const auto node = std::shared_ptr<FrozenProductBackward>(
      new FrozenProductBackward(std::move(matrix), x, bias_dtype), torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(x, bias_or_none));
  at::Tensor result = y.detach();
  torch::autograd::set_history(result, node);
  return result;
}

}  // namespace wanlite
