// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Attention of one block of queries over all keys of one head in fp32, for one instruction set
// each: the running softmax of FlashAttention (arXiv 2205.14135) over packed keys and values.
#ifndef WANLITE_SRC_OPS_CPU_ATTENTION_KERNELS_H_
#define WANLITE_SRC_OPS_CPU_ATTENTION_KERNELS_H_

#include <cstdint>

#include "src/ops/cpu/cpu_isa.h"

namespace wanlite::ops {

inline constexpr int64_t kMaxQueries = 96;   // of a block
inline constexpr int64_t kKeysAtOnce = 256;  // between two corrections of the softmax

struct AttentionBlock {
  const float* q;  // [queries, dim], rows q_stride apart
  int64_t q_stride, queries;
  int64_t dim, keys;
  const float* packed_keys;
  const float* packed_values;
  float scale;  // of the scores, times log2(e)
  float* out;   // [queries, dim], rows out_stride apart
  int64_t out_stride;
  float* scratch;  // AttentionScratch(dim) floats, 64-byte aligned
};

inline constexpr int64_t AttentionScratch(int64_t dim) {
  return 3 * kMaxQueries + kMaxQueries * (2 * dim + kKeysAtOnce);
}

struct AttentionKernels {
  // Keys come in panels of so many, and so do channels of values: dim is a multiple of it.
  int columns;
  // k, v: [keys, dim], rows `stride` apart. packed: keys rounded up to `columns` times dim floats
  // for keys, keys * dim for values, 64-byte aligned.
  void (*pack_keys)(const float* k, int64_t stride, int64_t keys, int64_t dim, float* packed);
  void (*pack_values)(const float* v, int64_t stride, int64_t keys, int64_t dim, float* packed);
  void (*attend)(const AttentionBlock& block);
};

// Null where this instruction set has none.
const AttentionKernels* AttentionKernelsFor(CpuIsa isa);

// One table per file.
extern const AttentionKernels kAttentionKernelsAvx2;
extern const AttentionKernels kAttentionKernelsAvx512;

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_ATTENTION_KERNELS_H_
