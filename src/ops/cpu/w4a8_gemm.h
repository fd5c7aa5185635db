// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The blocked, parallel product of INT8 tokens with group-wise INT4 weights.
#ifndef WANLITE_SRC_OPS_CPU_W4A8_GEMM_H_
#define WANLITE_SRC_OPS_CPU_W4A8_GEMM_H_

#include <cstdint>

#include "src/ops/cpu/cpu_isa.h"
#include "src/ops/cpu/int8_gemm.h"
#include "src/ops/cpu/w4a8_kernels.h"

namespace wanlite::ops {

// Whether groups of this size can be multiplied here: multiples of kW4A8GroupStep that divide k.
bool W4A8GroupFits(int64_t k, int64_t group);

// The weight [n, k] in the order in which the kernels of an instruction set read it: k / 2 bytes a
// row and 8 a group of it, at an address that 64 divides.
int64_t PackedW4A8Bytes(CpuIsa isa, int64_t n, int64_t k, int64_t group);
void PackW4A8Weights(CpuIsa isa, int64_t n, int64_t k, int64_t group, const W4A8Rows& rows,
                     uint8_t* packed);

// Takes the sums of token `row`, whose scale they still lack, with the weights first_column ...
// first_column + columns - 1. Called once per piece, from several threads.
using FloatSumConsumer =
    c10::function_ref<void(int64_t row, int64_t first_column, int64_t columns, const float* sums)>;

// sums[m, n] = sum over groups g, in order, of float(sum over k in g of q[m, k] * (code[n, k] -
// zero[n, g])) * scale[n, g], in fp32: the same bits on every instruction set. packed: by
// PackW4A8Weights() for the same instruction set; group: of W4A8GroupFits().
void W4A8Gemm(CpuIsa isa, int64_t m, int64_t n, int64_t k, int64_t group, TokenReader read_token,
              const uint8_t* packed, FloatSumConsumer consume);

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_W4A8_GEMM_H_
