// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The INT8 products: reading tokens of any dtype, scaling back. Oracle of the CUDA tests.

#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/check_args.h"
#include "src/ops/cpu/int8_gemm.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/quantize_row.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {
namespace {

// The product with the tokens that `read_token` gives, scaled back: [..., out] in `dtype`. shape:
// of the tokens; scales: one per token, filled by `read_token` at the latest.
at::Tensor Product(at::IntArrayRef shape, TokenReader read_token, const float* scales,
                   const Int8Weights& weights, const at::Tensor& weight_scale,
                   const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  const int64_t n = weight_scale.numel();
  const int64_t k = shape.back();
  const int64_t m = c10::multiply_integers(shape.slice(0, shape.size() - 1));
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const at::Tensor weight_scales = weight_scale.contiguous();
  const at::Tensor biases = BiasOrZeros(bias, n);
  std::vector<int64_t> result_shape = shape.vec();
  result_shape.back() = n;
  at::Tensor result = at::empty(result_shape, at::dtype(dtype));
  const float* weight_scale_data = weight_scales.const_data_ptr<float>();
  const float* bias_data = biases.const_data_ptr<float>();
  DispatchFloating(dtype, [&](auto tag) {
    using Result = decltype(tag);
    Result* result_data = result.mutable_data_ptr<Result>();
    Int8Gemm(ActiveCpuIsa(), m, n, k, read_token, weights,
             [&](int64_t row, int64_t first, int64_t columns, const int32_t* sums) {
               Result* out = result_data + row * n + first;
               const auto dequantize = [&](float* values) {
                 kernels.dequantize(sums, columns, scales[row], weight_scale_data + first,
                                    bias_data + first, values);
               };
               if constexpr (std::is_same_v<Result, float>) {
                 dequantize(out);
               } else {
                 float values[kMaxTileColumns];
                 dequantize(values);
                 WriteRow(values, columns, out);
               }
             });
  });
  return result;
}

at::Tensor Int8LinearCpu(const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                         int64_t rotation_group) {
  CheckInt8LinearArgs(x, weight, weight_scale, bias, rotation_group);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const int64_t k = weight.size(1);
  const at::Tensor tokens = x.contiguous(), weights = weight.contiguous();
  std::vector<float> scales(RowsOf(x));
  at::Tensor result;
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* token_data = tokens.const_data_ptr<decltype(tag)>();
    const auto read_token = [&](int64_t row, int8_t* q) {
      scales[row] =
          QuantizeToken(kernels, token_data + row * k, k, rotation_group, ThreadRow(k), q);
    };
    result =
        Product(x.sizes(), read_token, scales.data(), {.rows = weights.const_data_ptr<int8_t>()},
                weight_scale, bias, x.scalar_type());
  });
  return result;
}

// The product of tokens that are quantized already.
at::Tensor QuantizedProduct(const at::Tensor& q, const at::Tensor& scale,
                            const Int8Weights& weights, const at::Tensor& weight_scale,
                            const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  const int64_t k = q.size(-1);
  const at::Tensor tokens = q.contiguous(), scales = scale.contiguous();
  const int8_t* token_data = tokens.const_data_ptr<int8_t>();
  const auto read_token = [&](int64_t row, int8_t* out) {
    std::copy_n(token_data + row * k, k, out);
  };
  return Product(q.sizes(), read_token, scales.const_data_ptr<float>(), weights, weight_scale, bias,
                 dtype);
}

at::Tensor Int8GemmCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                       at::ScalarType dtype) {
  CheckInt8GemmArgs(q, scale, weight, weight_scale, bias, dtype);
  const at::Tensor weights = weight.contiguous();
  return QuantizedProduct(q, scale, {.rows = weights.const_data_ptr<int8_t>()}, weight_scale, bias,
                          dtype);
}

at::Tensor Int8PackCpu(const at::Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kChar,
              "wanlite::int8_pack: weight must be int8 [out, in], found ", weight.scalar_type(),
              " ", weight.sizes());
  const int64_t n = weight.size(0), k = weight.size(1);
  const at::Tensor rows = weight.contiguous();
  at::Tensor packed = at::empty({PackedInt8Bytes(ActiveCpuIsa(), n, k)}, at::dtype(at::kByte));
  PackInt8Weights(ActiveCpuIsa(), n, k, rows.const_data_ptr<int8_t>(),
                  packed.mutable_data_ptr<uint8_t>());
  return packed;
}

at::Tensor Int8GemmPackedCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& packed,
                             const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                             at::ScalarType dtype) {
  const char* op = "int8_gemm_packed";
  CheckQuantizedTokens(op, q, scale);
  CheckScaleAndBias(op, weight_scale.numel(), q.device(), weight_scale, bias);
  CheckResultDtype(op, dtype);
  const int64_t bytes = PackedInt8Bytes(ActiveCpuIsa(), weight_scale.numel(), q.size(-1));
  TORCH_CHECK(packed.scalar_type() == at::kByte && packed.dim() == 1 && packed.is_contiguous() &&
                  packed.is_cpu() && packed.numel() == bytes,
              "wanlite::", op, ": packed must be what int8_pack made of a weight [",
              weight_scale.numel(), ", ", q.size(-1), "] on this machine, uint8 [", bytes,
              "], found ", packed.scalar_type(), " ", packed.sizes());
  const uint8_t* data = packed.const_data_ptr<uint8_t>();
  TORCH_CHECK(reinterpret_cast<uintptr_t>(data) % 64 == 0, "wanlite::", op,
              ": packed must start at an address that 64 divides");
  return QuantizedProduct(q, scale, {.packed = data}, weight_scale, bias, dtype);
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("int8_linear", &Int8LinearCpu);
  m.impl("int8_gemm", &Int8GemmCpu);
  m.impl("int8_pack", &Int8PackCpu);
  m.impl("int8_gemm_packed", &Int8GemmPackedCpu);
}

}  // namespace
}  // namespace wanlite::ops
