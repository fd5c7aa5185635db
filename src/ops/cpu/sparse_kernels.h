// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Sums over the kept values of sparse rows, for one instruction set each, in fp32 by fused
// multiply-adds.
#ifndef WANLITE_SRC_OPS_CPU_SPARSE_KERNELS_H_
#define WANLITE_SRC_OPS_CPU_SPARSE_KERNELS_H_

#include <cstdint>

#include "src/ops/cpu/cpu_isa.h"

namespace wanlite::ops {

struct SparseKernels {
  // sums[t] += sum of values[i] * columns[index[i] * kWidth + t] for kWidth tokens t, of which the
  // columns are features. columns and sums are 64-byte aligned.
  using Accumulate = void (*)(const float* columns, const int32_t* index, const float* values,
                              int64_t count, float* sums);
  Accumulate accumulate_16, accumulate_32, accumulate_64;  // by kWidth
  // 2:4: the sum of values[i] * x[its feature], x: one token. count: of values, even.
  float (*dot_2_of_4)(const float* x, const uint8_t* places, const float* values, int64_t count);

  // 2:4, kTileRows rows with up to kTileTokens tokens, 16 values of a row at a step; null where
  // there is none. lanes_2_of_4: the feature of each value among the 32 of its step, int32 [steps,
  // 16], 64-byte aligned, steps `stride` apart; bytes: of places. multiply_2_of_4: sums[token,
  // row]; x: tokens of 32 * steps features; lanes: [steps, kTileRows, 16]; values: 16 * steps of
  // each row.
  void (*lanes_2_of_4)(const uint8_t* places, int64_t bytes, int64_t steps, int64_t stride,
                       int32_t* lanes);
  void (*multiply_2_of_4)(const float* x, int64_t tokens, const int32_t* lanes,
                          const float* const* values, int64_t steps, float* sums);
};
inline constexpr int64_t kTileRows = 4, kTileTokens = 4;

// Null where this instruction set has none.
const SparseKernels* SparseKernelsFor(CpuIsa isa);

// One table per file.
extern const SparseKernels kSparseKernelsAvx2;
extern const SparseKernels kSparseKernelsAvx512;

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_SPARSE_KERNELS_H_
