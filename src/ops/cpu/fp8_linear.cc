// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// FP8 e4m3 on the CPU: codes are decoded, products are those of fp32.

#include <torch/library.h>

#include <optional>
#include <tuple>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/check_group_args.h"
#include "src/ops/cpu/code_kernels.h"
#include "src/ops/cpu/expanded_product.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/fp8_math.h"
#include "src/ops/ops.h"

namespace wanlite::ops {
namespace {

const uint8_t* Fp8Data(const at::Tensor& contiguous) {
  return static_cast<const uint8_t*>(contiguous.const_data_ptr());
}

std::tuple<at::Tensor, at::Tensor> QuantizeFp8Cpu(const at::Tensor& x) {
  CheckFloating("quantize_fp8", x);
  const CodeKernels& kernels = CodeKernelsFor(ActiveCpuIsa());
  const int64_t n = x.size(-1);
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  const at::Tensor q = at::empty(x.sizes(), at::dtype(at::kFloat8_e4m3fn));
  const at::Tensor scale = at::zeros(scale_shape, at::dtype(at::kFloat));
  uint8_t* codes = static_cast<uint8_t*>(q.mutable_data_ptr());
  float* scales = scale.mutable_data_ptr<float>();
  ForEachRow(x, [&](int64_t row, const float* values) {
    scales[row] = Fp8Scale(kernels.max_magnitude(values, n));
    kernels.encode_e4m3(values, n, Int8Divisor(scales[row]), codes + row * n);
  });
  return {q, scale};
}

at::Tensor Fp8LinearCpu(const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias) {
  CheckFloating("fp8_linear", x);
  CheckRowScaledWeight("fp8_linear", at::kFloat8_e4m3fn, x.size(-1), x.device(), weight,
                       weight_scale, bias);
  const CodeKernels& kernels = CodeKernelsFor(ActiveCpuIsa());
  const at::Tensor codes = weight.contiguous(), scales = weight_scale.contiguous();
  const int64_t k = weight.size(1);
  const auto expand = [&](int64_t row, float* out) {
    kernels.decode_e4m3(Fp8Data(codes) + row * k, k, scales.const_data_ptr<float>()[row], out);
  };
  return ExpandedProduct(x, weight.size(0), expand, bias);
}

at::Tensor Fp8GemmCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                      const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                      at::ScalarType dtype) {
  CheckTokens("fp8_gemm", q, at::kFloat8_e4m3fn, scale, 1);
  CheckRowScaledWeight("fp8_gemm", at::kFloat8_e4m3fn, q.size(-1), q.device(), weight, weight_scale,
                       bias);
  CheckResultDtype("fp8_gemm", dtype);
  const CodeKernels& kernels = CodeKernelsFor(ActiveCpuIsa());
  const int64_t k = weight.size(1);
  const at::Tensor tokens = q.contiguous(), codes = weight.contiguous();
  const at::Tensor x = ExpandRows(RowsOf(q), k, [&](int64_t row, float* out) {
                         kernels.decode_e4m3(Fp8Data(tokens) + row * k, k, 1.0f, out);
                       }).reshape(q.sizes());
  const auto expand = [&](int64_t row, float* out) {
    kernels.decode_e4m3(Fp8Data(codes) + row * k, k, 1.0f, out);
  };
  at::Tensor y = ExpandedProduct(x, weight.size(0), expand, std::nullopt);
  y.mul_(scale * weight_scale.reshape({-1}));
  if (bias.has_value()) y.add_(bias->to(at::kFloat));
  return y.to(dtype);
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("quantize_fp8", &QuantizeFp8Cpu);
  m.impl("fp8_linear", &Fp8LinearCpu);
  m.impl("fp8_gemm", &Fp8GemmCpu);
}

}  // namespace
}  // namespace wanlite::ops
