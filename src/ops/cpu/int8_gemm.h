// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The blocked, parallel INT8 product under the CPU operators.
#ifndef WANLITE_SRC_OPS_CPU_INT8_GEMM_H_
#define WANLITE_SRC_OPS_CPU_INT8_GEMM_H_

#include <c10/util/FunctionRef.h>

#include <cstdint>

#include "src/ops/cpu/cpu_isa.h"

namespace wanlite::ops {

// Puts token `row` of A (int8 [k], values in [-127, 127]) into `out`. Called once per row, from
// several threads.
using TokenReader = c10::function_ref<void(int64_t row, int8_t* out)>;
// Takes the sums of token `row` with the weights first_column ... first_column + columns - 1.
// Called once per piece, from several threads.
using SumConsumer = c10::function_ref<void(int64_t row, int64_t first_column, int64_t columns,
                                           const int32_t* sums)>;

// The weights B of a product, int8 [n, k] of any values: as rows, contiguous, or packed.
struct Int8Weights {
  const int8_t* rows = nullptr;
  const uint8_t* packed = nullptr;  // by PackInt8Weights() for the same instruction set
};

// B in the order in which the kernels of an instruction set read it: about n * k bytes, at an
// address that 64 divides.
int64_t PackedInt8Bytes(CpuIsa isa, int64_t n, int64_t k);
void PackInt8Weights(CpuIsa isa, int64_t n, int64_t k, const int8_t* rows, uint8_t* packed);

// sums[m, n] = sum over k of A[m, k] * B[n, k], exact on every instruction set. k <=
// kMaxInt8Features. Temporary memory: m * k bytes (twice that on AVX2), and per thread some panels
// of 16 or 32 weight rows: kPanelGroupBytes, or one panel where that is more. Rows are packed panel
// by panel at each call, which costs 5 to 8 % of the product with a thousand tokens and most of it
// with one.
void Int8Gemm(CpuIsa isa, int64_t m, int64_t n, int64_t k, TokenReader read_token,
              const Int8Weights& b, SumConsumer consume);

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_INT8_GEMM_H_
