// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The product of small integers whose scales belong to groups of features.
#ifndef WANLITE_SRC_OPS_CPU_GROUP_GEMM_H_
#define WANLITE_SRC_OPS_CPU_GROUP_GEMM_H_

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <optional>

#include "src/ops/cpu/cpu_isa.h"

namespace wanlite::ops {

// Columns that a consumer gets at once, at most.
inline constexpr int64_t kMaxGroupColumns = 32;

// Puts row `row` of integers, int8 [k], into `values` and its scales, [k / group], into `scales`.
// Called from several threads, for a row perhaps more than once. Values of tokens are in
// [-127, 127].
using GroupReader = c10::function_ref<void(int64_t row, int8_t* values, float* scales)>;
// Takes the sums of token `row` with the weights first_column ... first_column + columns - 1.
using GroupConsumer =
    c10::function_ref<void(int64_t row, int64_t first_column, int64_t columns, const float* sums)>;

// sums[m, n] = sum over groups g, in order, of
//   float(exact integer sum of token and weight over g) * (weight scale of g * token scale of g)
// in fp32, the same bits on every instruction set. group divides k. Temporary memory: 4 MiB of
// packed tokens, and per thread a panel of 16 or 32 weight rows.
void GroupGemm(CpuIsa isa, int64_t m, int64_t n, int64_t k, int64_t group, GroupReader read_token,
               GroupReader read_weight, GroupConsumer consume);

// The product as a tensor [..., n] in `dtype`: y = sums * the token's scale + bias. shape: of the
// tokens, [..., k]; token_scales: null for 1.
at::Tensor GroupProduct(at::IntArrayRef shape, int64_t n, int64_t group, GroupReader read_token,
                        GroupReader read_weight, const float* token_scales,
                        const std::optional<at::Tensor>& bias, at::ScalarType dtype);

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_GROUP_GEMM_H_
