// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Sums over the kept values of a sparse row, for one instruction set each, in fp32 by fused
// multiply-adds. All give the same bits.
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
};

// Null where this instruction set has none.
const SparseKernels* SparseKernelsFor(CpuIsa isa);

// One table per file.
extern const SparseKernels kSparseKernelsAvx2;
extern const SparseKernels kSparseKernelsAvx512;

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_SPARSE_KERNELS_H_
