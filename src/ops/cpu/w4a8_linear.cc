// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// W4A8 with weights packed for the machine's kernels.

#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/check_group_args.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/cpu/w4a8_gemm.h"
#include "src/ops/ops.h"

namespace wanlite::ops {
namespace {

at::Tensor W4A8PackCpu(const at::Tensor& weight, const at::Tensor& weight_scale,
                       const std::optional<at::Tensor>& zero) {
  const char* op = "w4a8_pack";
  CheckInt4Weight(op, 2 * (weight.dim() == 2 ? weight.size(1) : 0), weight.device(), weight,
                  weight_scale, zero, std::nullopt);
  const int64_t n = weight.size(0), k = 2 * weight.size(1), group = k / weight_scale.size(1);
  TORCH_CHECK(W4A8GroupFits(k, group), "wanlite::", op, ": groups of ", group,
              " features; the kernels take multiples of ", kW4A8GroupStep);
  const at::Tensor codes = weight.contiguous();
  const at::Tensor scales = weight_scale.to(at::kFloat).contiguous();
  const at::Tensor zeros = zero.has_value() ? zero->contiguous() : at::Tensor();
  at::Tensor packed =
      at::empty({PackedW4A8Bytes(ActiveCpuIsa(), n, k, group)}, at::dtype(at::kByte));
  PackW4A8Weights(ActiveCpuIsa(), n, k, group,
                  {codes.const_data_ptr<uint8_t>(), scales.const_data_ptr<float>(),
                   zeros.defined() ? zeros.const_data_ptr<uint8_t>() : nullptr},
                  packed.mutable_data_ptr<uint8_t>());
  return packed;
}

at::Tensor W4A8GemmPackedCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& packed,
                             int64_t out_features, int64_t group,
                             const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  const char* op = "w4a8_gemm_packed";
  CheckQuantizedTokens(op, q, scale);
  CheckBias(op, out_features, q.device(), bias);
  CheckResultDtype(op, dtype);
  const int64_t n = out_features, k = q.size(-1), m = RowsOf(q);
  TORCH_CHECK(n >= 0 && W4A8GroupFits(k, group), "wanlite::", op, ": groups of ", group, " in ", k,
              " features; the kernels take multiples of ", kW4A8GroupStep);
  const int64_t bytes = PackedW4A8Bytes(ActiveCpuIsa(), n, k, group);
  TORCH_CHECK(packed.scalar_type() == at::kByte && packed.dim() == 1 && packed.is_contiguous() &&
                  packed.is_cpu() && packed.numel() == bytes,
              "wanlite::", op, ": packed must be what w4a8_pack made of a weight [", n, ", ", k,
              "] in groups of ", group, " on this machine, uint8 [", bytes, "], found ",
              packed.scalar_type(), " ", packed.sizes());
  const uint8_t* weights = packed.const_data_ptr<uint8_t>();
  TORCH_CHECK(reinterpret_cast<uintptr_t>(weights) % 64 == 0, "wanlite::", op,
              ": packed must start at an address that 64 divides");
  const W4A8Kernels& kernels = W4A8KernelsFor(ActiveCpuIsa());
  const at::Tensor tokens = q.contiguous(), scales = scale.contiguous();
  const int8_t* token_data = tokens.const_data_ptr<int8_t>();
  const float* scale_data = scales.const_data_ptr<float>();
  const at::Tensor biases = BiasOrZeros(bias, n);
  const float* bias_data = biases.const_data_ptr<float>();
  std::vector<int64_t> shape = q.sizes().vec();
  shape.back() = n;
  at::Tensor result = at::empty(shape, at::dtype(dtype));
  DispatchFloating(dtype, [&](auto tag) {
    using Result = decltype(tag);
    Result* data = result.mutable_data_ptr<Result>();
    W4A8Gemm(
        ActiveCpuIsa(), m, n, k, group,
        [&](int64_t row, int8_t* out) { std::copy_n(token_data + row * k, k, out); }, weights,
        [&](int64_t row, int64_t first, int64_t columns, const float* sums) {
          Result* out = data + row * n + first;
          if constexpr (std::is_same_v<Result, float>) {
            kernels.finish(sums, columns, scale_data[row], bias_data + first, out);
          } else {
            float values[kMaxW4A8Columns];
            kernels.finish(sums, columns, scale_data[row], bias_data + first, values);
            WriteRow(values, columns, out);
          }
        });
  });
  return result;
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("w4a8_pack", &W4A8PackCpu);
  m.impl("w4a8_gemm_packed", &W4A8GemmPackedCpu);
}

}  // namespace

bool W4A8Packs(int64_t in_features, int64_t group) { return W4A8GroupFits(in_features, group); }

}  // namespace wanlite::ops
