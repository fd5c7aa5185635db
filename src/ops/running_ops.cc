// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Typed calls of the operators that only running needs: fused activations, packed weights,
// attention.

#include <torch/library.h>

#include "src/core/libtorch.h"
#include "src/ops/call_op.h"
#include "src/ops/ops.h"

namespace wanlite::ops {

at::Tensor Int8Pack(const at::Tensor& weight) {
  return CallOp<"wanlite::int8_pack", Int8Pack>(weight);
}

at::Tensor Int8GemmPacked(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& packed,
                          const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                          at::ScalarType dtype) {
  return CallOp<"wanlite::int8_gemm_packed", Int8GemmPacked>(q, scale, packed, weight_scale, bias,
                                                             dtype);
}

at::Tensor W4A8Pack(const at::Tensor& weight, const at::Tensor& weight_scale,
                    const std::optional<at::Tensor>& zero) {
  return CallOp<"wanlite::w4a8_pack", W4A8Pack>(weight, weight_scale, zero);
}

at::Tensor W4A8GemmPacked(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& packed,
                          int64_t out_features, int64_t group,
                          const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  return CallOp<"wanlite::w4a8_gemm_packed", W4A8GemmPacked>(q, scale, packed, out_features, group,
                                                             bias, dtype);
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps,
                   at::ScalarType dtype) {
  return CallOp<"wanlite::rms_norm", RmsNorm>(x, weight, eps, dtype);
}

std::tuple<at::Tensor, at::Tensor> RmsNormQuantize(const at::Tensor& x, const at::Tensor& weight,
                                                   double eps, at::ScalarType dtype,
                                                   int64_t rotation_group) {
  return CallOp<"wanlite::rms_norm_quantize", RmsNormQuantize>(x, weight, eps, dtype,
                                                               rotation_group);
}

at::Tensor RmsNormRotary(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rotary,
                         double eps) {
  return CallOp<"wanlite::rms_norm_rotary", RmsNormRotary>(x, weight, rotary, eps);
}

at::Tensor Attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     int64_t head_dim) {
  return CallOp<"wanlite::attention", Attention>(q, k, v, head_dim);
}

at::Tensor Gelu(const at::Tensor& x, const std::optional<at::Tensor>& gate) {
  return CallOp<"wanlite::gelu", Gelu>(x, gate);
}

std::tuple<at::Tensor, at::Tensor> GeluQuantize(const at::Tensor& x,
                                                const std::optional<at::Tensor>& gate,
                                                int64_t rotation_group) {
  return CallOp<"wanlite::gelu_quantize", GeluQuantize>(x, gate, rotation_group);
}

TORCH_LIBRARY_IMPL(wanlite, Autograd, m) {
  m.impl("int8_pack", &NoGradient<"int8_pack", Int8Pack>::Run);
  m.impl("int8_gemm_packed", &NoGradient<"int8_gemm_packed", Int8GemmPacked>::Run);
  m.impl("w4a8_pack", &NoGradient<"w4a8_pack", W4A8Pack>::Run);
  m.impl("w4a8_gemm_packed", &NoGradient<"w4a8_gemm_packed", W4A8GemmPacked>::Run);
  m.impl("rms_norm", &NoGradient<"rms_norm", RmsNorm>::Run);
  m.impl("rms_norm_quantize", &NoGradient<"rms_norm_quantize", RmsNormQuantize>::Run);
  m.impl("rms_norm_rotary", &NoGradient<"rms_norm_rotary", RmsNormRotary>::Run);
  m.impl("attention", &NoGradient<"attention", Attention>::Run);
  m.impl("gelu", &NoGradient<"gelu", Gelu>::Run);
  m.impl("gelu_quantize", &NoGradient<"gelu_quantize", GeluQuantize>::Run);
}

}  // namespace wanlite::ops
