// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The inner loops of the INT8 operators for one instruction set each: pack, multiply, quantize.
// They see one thread's share and plain pointers; int8_gemm.cc blocks and parallelises them.
//
// A product C = A B^T (A: [m, k] tokens, B: [n, k] weights, both int8) is made of tiles of
// `tile_rows` tokens by `tile_columns` weights. Tokens are packed in strips of tile_rows, weights
// in panels of tile_columns, in whatever layout the tile kernel reads fastest; rows and columns
// that are missing at the edges are packed as zeros. A panel takes a byte per weight, so that whole
// matrices may be kept packed. Where a kernel would rather read something wider, a panel that
// serves many strips is widened first.
#ifndef WANLITE_SRC_OPS_CPU_INT8_KERNELS_H_
#define WANLITE_SRC_OPS_CPU_INT8_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "src/ops/cpu/cpu_isa.h"

namespace wanlite::ops {

inline constexpr int kMaxTileRows = 12;
inline constexpr int kMaxTileColumns = 32;

struct Int8Kernels {
  int tile_rows;
  int tile_columns;
  // Bytes of a packed strip and a packed panel, multiples of 64. Buffers must be 64-byte aligned.
  size_t (*strip_bytes)(int64_t k);
  size_t (*panel_bytes)(int64_t k);
  // a: [rows <= tile_rows, k], rows `stride` apart, values in [-127, 127].
  void (*pack_strip)(const int8_t* a, int64_t stride, int64_t rows, int64_t k, uint8_t* strip);
  // b: [columns <= tile_columns, k], rows `stride` apart. Any int8.
  void (*pack_panel)(const int8_t* b, int64_t stride, int64_t columns, int64_t k, uint8_t* panel);
  // sums: int32 [rows, tile_columns], exact, of the strip's first `rows` tokens, 1 to tile_rows.
  void (*multiply)(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k,
                   int32_t* sums);
  // Bytes of a widened panel, 0 without; the rest is null then.
  size_t (*wide_bytes)(int64_t k);
  void (*widen)(const uint8_t* panel, int64_t k, uint8_t* wide);
  void (*multiply_wide)(const uint8_t* strip, int64_t rows, const uint8_t* wide, int64_t k,
                        int32_t* sums);
  // out[i] = DequantizeSum(sums[i], scale, weight_scale[i], bias[i]).
  void (*dequantize)(const int32_t* sums, int64_t n, float scale, const float* weight_scale,
                     const float* bias, float* out);

  // Largest MagnitudeBits() of a row.
  int32_t (*max_magnitude)(const float* x, int64_t n);
  // q[i] = QuantizeInt8(x[i], divisor).
  void (*quantize)(const float* x, int64_t n, float divisor, int8_t* q);
  // Rotates runs of `group` values in place; group divides n.
  void (*rotate)(float* x, int64_t n, int64_t group);
  // x = (x - mean) / sqrt(variance + eps) * weight + bias in place; n >= 1.
  void (*layer_norm)(float* x, int64_t n, float eps, const float* weight, const float* bias);
  // x = x / sqrt(mean(x^2) + eps) * weight in place; n >= 1.
  void (*rms_norm)(float* x, int64_t n, float eps, const float* weight);
  // Pairs of x as complex numbers times those of a head's table in place; dim divides n.
  void (*rotary)(float* x, int64_t n, const float* table, int64_t dim);
  // x = Gelu(x) in place.
  void (*gelu)(float* x, int64_t n);
};

// isa must be supported by this machine.
const Int8Kernels& Int8KernelsFor(CpuIsa isa);

// One table per file.
extern const Int8Kernels kInt8KernelsPortable;
extern const Int8Kernels kInt8KernelsAvx2;
extern const Int8Kernels kInt8KernelsAvx512Vnni;

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_INT8_KERNELS_H_
