// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Typed calls of the operators of weight formats.

#include <torch/library.h>

#include "src/core/libtorch.h"
#include "src/ops/call_op.h"
#include "src/ops/ops.h"

namespace wanlite::ops {

at::Tensor Int4Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                      const std::optional<at::Tensor>& zero,
                      const std::optional<at::Tensor>& bias) {
  return CallOp<"wanlite::int4_linear", Int4Linear>(x, weight, weight_scale, zero, bias);
}

at::Tensor Int4Dequantize(const at::Tensor& weight, const at::Tensor& weight_scale,
                          const std::optional<at::Tensor>& zero) {
  return CallOp<"wanlite::int4_dequantize", Int4Dequantize>(weight, weight_scale, zero);
}

at::Tensor W4A8Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                    const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  return CallOp<"wanlite::w4a8_gemm", W4A8Gemm>(q, scale, weight, weight_scale, zero, bias, dtype);
}

at::Tensor W4A4Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                    const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  return CallOp<"wanlite::w4a4_gemm", W4A4Gemm>(q, scale, weight, weight_scale, zero, bias, dtype);
}

std::tuple<at::Tensor, at::Tensor> QuantizeInt4(const at::Tensor& x, int64_t group) {
  return CallOp<"wanlite::quantize_int4", QuantizeInt4>(x, group);
}

at::Tensor Int8WeightLinear(const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias) {
  return CallOp<"wanlite::int8_weight_linear", Int8WeightLinear>(x, weight, weight_scale, bias);
}

std::tuple<at::Tensor, at::Tensor> QuantizeStatic(const at::Tensor& x, const at::Tensor& scale,
                                                  int64_t rotation_group) {
  return CallOp<"wanlite::quantize_static", QuantizeStatic>(x, scale, rotation_group);
}

std::tuple<at::Tensor, at::Tensor> QuantizeFp8(const at::Tensor& x) {
  return CallOp<"wanlite::quantize_fp8", QuantizeFp8>(x);
}

at::Tensor Fp8Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                     const std::optional<at::Tensor>& bias) {
  return CallOp<"wanlite::fp8_linear", Fp8Linear>(x, weight, weight_scale, bias);
}

at::Tensor Fp8Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                   const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                   at::ScalarType dtype) {
  return CallOp<"wanlite::fp8_gemm", Fp8Gemm>(q, scale, weight, weight_scale, bias, dtype);
}

at::Tensor Nvfp4Linear(const at::Tensor& x, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const at::Tensor& weight_scale_2,
                       const std::optional<at::Tensor>& bias) {
  return CallOp<"wanlite::nvfp4_linear", Nvfp4Linear>(x, weight, weight_scale, weight_scale_2,
                                                      bias);
}

at::Tensor Nvfp4Dequantize(const at::Tensor& weight, const at::Tensor& weight_scale,
                           const at::Tensor& weight_scale_2) {
  return CallOp<"wanlite::nvfp4_dequantize", Nvfp4Dequantize>(weight, weight_scale, weight_scale_2);
}

at::Tensor Nvfp4Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                     const at::Tensor& weight_scale, const at::Tensor& weight_scale_2,
                     const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  return CallOp<"wanlite::nvfp4_gemm", Nvfp4Gemm>(q, scale, weight, weight_scale, weight_scale_2,
                                                  bias, dtype);
}

std::tuple<at::Tensor, at::Tensor> QuantizeNvfp4(const at::Tensor& x) {
  return CallOp<"wanlite::quantize_nvfp4", QuantizeNvfp4>(x);
}

at::Tensor SparseNmLinear(const at::Tensor& x, const at::Tensor& values, const at::Tensor& places,
                          int64_t n, int64_t m, const std::optional<at::Tensor>& bias) {
  return CallOp<"wanlite::sparse_nm_linear", SparseNmLinear>(x, values, places, n, m, bias);
}

at::Tensor SparseNmDequantize(const at::Tensor& values, const at::Tensor& places, int64_t n,
                              int64_t m) {
  return CallOp<"wanlite::sparse_nm_dequantize", SparseNmDequantize>(values, places, n, m);
}

TORCH_LIBRARY_IMPL(wanlite, Autograd, m) {
  m.impl("int4_linear", &NoGradient<"int4_linear", Int4Linear>::Run);
  m.impl("int4_dequantize", &NoGradient<"int4_dequantize", Int4Dequantize>::Run);
  m.impl("w4a8_gemm", &NoGradient<"w4a8_gemm", W4A8Gemm>::Run);
  m.impl("w4a4_gemm", &NoGradient<"w4a4_gemm", W4A4Gemm>::Run);
  m.impl("quantize_int4", &NoGradient<"quantize_int4", QuantizeInt4>::Run);
  m.impl("int8_weight_linear", &NoGradient<"int8_weight_linear", Int8WeightLinear>::Run);
  m.impl("quantize_static", &NoGradient<"quantize_static", QuantizeStatic>::Run);
  m.impl("quantize_fp8", &NoGradient<"quantize_fp8", QuantizeFp8>::Run);
  m.impl("fp8_linear", &NoGradient<"fp8_linear", Fp8Linear>::Run);
  m.impl("fp8_gemm", &NoGradient<"fp8_gemm", Fp8Gemm>::Run);
  m.impl("nvfp4_linear", &NoGradient<"nvfp4_linear", Nvfp4Linear>::Run);
  m.impl("nvfp4_dequantize", &NoGradient<"nvfp4_dequantize", Nvfp4Dequantize>::Run);
  m.impl("nvfp4_gemm", &NoGradient<"nvfp4_gemm", Nvfp4Gemm>::Run);
  m.impl("quantize_nvfp4", &NoGradient<"quantize_nvfp4", QuantizeNvfp4>::Run);
  m.impl("sparse_nm_linear", &NoGradient<"sparse_nm_linear", SparseNmLinear>::Run);
  m.impl("sparse_nm_dequantize", &NoGradient<"sparse_nm_dequantize", SparseNmDequantize>::Run);
}

}  // namespace wanlite::ops
