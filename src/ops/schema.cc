// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Every operator of the library, and the typed calls of ops.h.

#include <torch/library.h>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"

TORCH_LIBRARY(wanlite, m) {
  // x [..., in], weight int8 [out, in], weight_scale fp32 [out, 1], bias [out] -> [..., out]
  m.def(
      "int8_linear(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias, int rotation_group) "
      "-> Tensor");
  // x [..., n] -> q int8 [..., n], scale fp32 [..., 1]
  m.def("quantize_per_token(Tensor x) -> (Tensor q, Tensor scale)");
  // x [..., n] -> [..., n]
  m.def("hadamard_rotate(Tensor x, int group) -> Tensor");
}

namespace wanlite::ops {
namespace {

// There are no backward formulas. Without this layer the result of an operator on a tensor that
// requires a gradient would silently be a leaf, and training would go on with no signal.
void RefuseGradient(const char* op, const char* name, const at::Tensor& input) {
  TORCH_CHECK(!(at::GradMode::is_enabled() && input.requires_grad()), "wanlite::", op,
              " has no gradient, but its input ", name, " of shape ", input.sizes(),
              " requires one; run it under torch::NoGradGuard, or train on dense weights");
}

at::Tensor Int8LinearNoGrad(const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                            int64_t rotation_group) {
  RefuseGradient("int8_linear", "x", x);
  if (bias.has_value()) RefuseGradient("int8_linear", "bias", *bias);
  at::AutoDispatchBelowAutograd below;
  return Int8Linear(x, weight, weight_scale, bias, rotation_group);
}

std::tuple<at::Tensor, at::Tensor> QuantizePerTokenNoGrad(const at::Tensor& x) {
  RefuseGradient("quantize_per_token", "x", x);
  at::AutoDispatchBelowAutograd below;
  return QuantizePerToken(x);
}

at::Tensor HadamardRotateNoGrad(const at::Tensor& x, int64_t group) {
  RefuseGradient("hadamard_rotate", "x", x);
  at::AutoDispatchBelowAutograd below;
  return HadamardRotate(x, group);
}

}  // namespace

at::Tensor Int8Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                      const std::optional<at::Tensor>& bias, int64_t rotation_group) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("wanlite::int8_linear", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const std::optional<at::Tensor>&, int64_t)>();
  return op.call(x, weight, weight_scale, bias, rotation_group);
}

std::tuple<at::Tensor, at::Tensor> QuantizePerToken(const at::Tensor& x) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("wanlite::quantize_per_token", "")
                             .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&)>();
  return op.call(x);
}

at::Tensor HadamardRotate(const at::Tensor& x, int64_t group) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("wanlite::hadamard_rotate", "")
                             .typed<at::Tensor(const at::Tensor&, int64_t)>();
  return op.call(x, group);
}

TORCH_LIBRARY_IMPL(wanlite, Autograd, m) {
  m.impl("int8_linear", &Int8LinearNoGrad);
  m.impl("quantize_per_token", &QuantizePerTokenNoGrad);
  m.impl("hadamard_rotate", &HadamardRotateNoGrad);
}

}  // namespace wanlite::ops
