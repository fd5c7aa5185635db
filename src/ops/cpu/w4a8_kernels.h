// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The inner loops of the product of INT8 tokens with group-wise INT4 weights (W4A8), for one
// instruction set each; w4a8_gemm.cc blocks and parallelises them.
//
// As in int8_kernels.h a product is made of tiles of tile_rows tokens by tile_columns weights, out
// of strips of tokens and panels of weights, packed group after group. A panel holds what a matrix
// does: half a byte per weight, and per group of each row its scale in fp32 and its zero.
#ifndef WANLITE_SRC_OPS_CPU_W4A8_KERNELS_H_
#define WANLITE_SRC_OPS_CPU_W4A8_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "src/ops/cpu/cpu_isa.h"

namespace wanlite::ops {

inline constexpr int kMaxW4A8Rows = 12;
inline constexpr int kMaxW4A8Columns = 32;
// Groups are multiples of it: that many features' products with a weight of 4 bits fit a 16-bit sum
// of pairs, 16 * 127 * 15 < 32768.
inline constexpr int64_t kW4A8GroupStep = 32;

// Rows of a weight: codes two a byte, the low nibble first, rows k / 2 bytes apart; scales and
// zeros [rows, k / group], zeros null for 8.
struct W4A8Rows {
  const uint8_t* codes;
  const float* scales;
  const uint8_t* zeros;
};

struct W4A8Kernels {
  int tile_rows;
  int tile_columns;
  // Bytes of a packed strip and a packed panel, multiples of 64. Buffers must be 64-byte aligned.
  size_t (*strip_bytes)(int64_t k, int64_t group);
  size_t (*panel_bytes)(int64_t k, int64_t group);
  // q: [rows <= tile_rows, k], values in [-127, 127].
  void (*pack_strip)(const int8_t* q, int64_t rows, int64_t k, int64_t group, uint8_t* strip);
  // Of the first `columns` <= tile_columns rows of the weight.
  void (*pack_panel)(const W4A8Rows& weight, int64_t columns, int64_t k, int64_t group,
                     uint8_t* panel);
  // sums: fp32 [rows, tile_columns], 1 to tile_rows rows: 0 + float(exact sum of a group) * scale +
  // … in the order of the groups.
  void (*multiply)(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k,
                   int64_t group, float* sums);
  // A panel with a byte per weight, for many strips; as in Int8Kernels.
  size_t (*wide_bytes)(int64_t k, int64_t group);
  void (*widen)(const uint8_t* panel, int64_t k, int64_t group, uint8_t* wide);
  void (*multiply_wide)(const uint8_t* strip, int64_t rows, const uint8_t* wide, int64_t k,
                        int64_t group, float* sums);
  // out[i] = sums[i] * scale + bias[i].
  void (*finish)(const float* sums, int64_t n, float scale, const float* bias, float* out);
};

// isa must be supported by this machine.
const W4A8Kernels& W4A8KernelsFor(CpuIsa isa);

// One table per file.
extern const W4A8Kernels kW4A8KernelsPortable;
extern const W4A8Kernels kW4A8KernelsAvx2;
extern const W4A8Kernels kW4A8KernelsAvx512Vnni;

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_W4A8_KERNELS_H_
