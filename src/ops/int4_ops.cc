// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Typed calls of the INT4 operators.

#include <torch/library.h>

#include "src/core/libtorch.h"
#include "src/ops/no_gradient.h"
#include "src/ops/ops.h"

namespace wanlite::ops {

at::Tensor Int4Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                      const std::optional<at::Tensor>& zero,
                      const std::optional<at::Tensor>& bias) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("wanlite::int4_linear", "")
                             .typed<decltype(Int4Linear)>();
  return op.call(x, weight, weight_scale, zero, bias);
}

at::Tensor Int4Dequantize(const at::Tensor& weight, const at::Tensor& weight_scale,
                          const std::optional<at::Tensor>& zero) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("wanlite::int4_dequantize", "")
                             .typed<decltype(Int4Dequantize)>();
  return op.call(weight, weight_scale, zero);
}

at::Tensor W4A8Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                    const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("wanlite::w4a8_gemm", "")
                             .typed<decltype(W4A8Gemm)>();
  return op.call(q, scale, weight, weight_scale, zero, bias, dtype);
}

at::Tensor W4A4Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                    const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("wanlite::w4a4_gemm", "")
                             .typed<decltype(W4A4Gemm)>();
  return op.call(q, scale, weight, weight_scale, zero, bias, dtype);
}

std::tuple<at::Tensor, at::Tensor> QuantizeInt4(const at::Tensor& x, int64_t group) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("wanlite::quantize_int4", "")
                             .typed<decltype(QuantizeInt4)>();
  return op.call(x, group);
}

TORCH_LIBRARY_IMPL(wanlite, Autograd, m) {
  m.impl("int4_linear", &NoGradient<"int4_linear", Int4Linear>::Run);
  m.impl("int4_dequantize", &NoGradient<"int4_dequantize", Int4Dequantize>::Run);
  m.impl("w4a8_gemm", &NoGradient<"w4a8_gemm", W4A8Gemm>::Run);
  m.impl("w4a4_gemm", &NoGradient<"w4a4_gemm", W4A4Gemm>::Run);
  m.impl("quantize_int4", &NoGradient<"quantize_int4", QuantizeInt4>::Run);
}

}  // namespace wanlite::ops
