// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// INT8 weights with inputs in floating point, or quantized by a scale that is given.

#include <torch/library.h>

#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/check_group_args.h"
#include "src/ops/cpu/code_kernels.h"
#include "src/ops/cpu/expanded_product.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/ops.h"

namespace wanlite::ops {
namespace {

at::Tensor Int8WeightLinearCpu(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& weight_scale,
                               const std::optional<at::Tensor>& bias) {
  CheckFloating("int8_weight_linear", x);
  CheckRowScaledWeight("int8_weight_linear", at::kChar, x.size(-1), x.device(), weight,
                       weight_scale, bias);
  const CodeKernels& kernels = CodeKernelsFor(ActiveCpuIsa());
  const at::Tensor codes = weight.contiguous(), scales = weight_scale.contiguous();
  const int64_t k = weight.size(1);
  const auto expand = [&](int64_t row, float* out) {
    kernels.expand(codes.const_data_ptr<int8_t>() + row * k, k, k,
                   scales.const_data_ptr<float>() + row, out);
  };
  return ExpandedProduct(x, weight.size(0), expand, bias);
}

std::tuple<at::Tensor, at::Tensor> QuantizeStaticCpu(const at::Tensor& x, const at::Tensor& scale,
                                                     int64_t rotation_group) {
  CheckQuantizeArgs("quantize_static", x, rotation_group);
  TORCH_CHECK(scale.numel() == 1 && scale.scalar_type() == at::kFloat && scale.is_cpu(),
              "wanlite::quantize_static: scale must be float32 [1] on the CPU, found ",
              scale.scalar_type(), " ", scale.sizes());
  const float step = scale.item<float>();
  TORCH_CHECK(std::isnormal(step) && step > 0,
              "wanlite::quantize_static: the scale must be positive and finite, found ", step);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const int64_t n = x.size(-1);
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  const at::Tensor q = at::empty(x.sizes(), at::dtype(at::kChar));
  const at::Tensor scales = at::empty(scale_shape, at::dtype(at::kFloat));
  int8_t* codes = q.mutable_data_ptr<int8_t>();
  float* scale_data = scales.mutable_data_ptr<float>();
  ForEachRow(x, [&](int64_t row, float* values) {
    if (rotation_group != 0) kernels.rotate(values, n, rotation_group);
    const bool finite = kernels.max_magnitude(values, n) < kInfinityBits;
    scale_data[row] = finite ? step : FloatFromBits(0x7fc00000);
    kernels.quantize(values, n, step, codes + row * n);
  });
  return {q, scales};
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("int8_weight_linear", &Int8WeightLinearCpu);
  m.impl("quantize_static", &QuantizeStaticCpu);
}

}  // namespace
}  // namespace wanlite::ops
