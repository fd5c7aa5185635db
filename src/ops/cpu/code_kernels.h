// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Row loops of the formats whose codes share a scale by groups, for one instruction set each. The
// compiler vectorises them; all give the same bits.
#ifndef WANLITE_SRC_OPS_CPU_CODE_KERNELS_H_
#define WANLITE_SRC_OPS_CPU_CODE_KERNELS_H_

#include <cstdint>

#include "src/ops/cpu/cpu_isa.h"

namespace wanlite::ops {

struct CodeKernels {
  // Two codes a byte, the low nibble first, to one a byte. bytes: of `packed`.
  void (*unpack4)(const uint8_t* packed, int64_t bytes, uint8_t* codes);
  // out[i] = codes[i] - zero
  void (*subtract)(const uint8_t* codes, int64_t n, int32_t zero, int8_t* out);
  // out[i] = values[i] * scales[i / group]; group divides n.
  void (*expand)(const int8_t* values, int64_t n, int64_t group, const float* scales, float* out);
  // sums[i] += values[i] * (scale[i] * factor)
  void (*add_scaled)(const int32_t* values, const float* scale, float factor, int64_t n,
                     float* sums);

  // One group of n values. Largest MagnitudeBits(); the extremes with 0 among them.
  int32_t (*max_magnitude)(const float* x, int64_t n);
  void (*extremes)(const float* x, int64_t n, float* high, float* low);
  // codes[i] = RoundQuotient(x[i], divisor, low, high) + zero, two a byte. n is even.
  void (*pack4)(const float* x, int64_t n, float divisor, int32_t low, int32_t high, int32_t zero,
                uint8_t* packed);

  // out[i] = the value of e4m3 code i * scale
  void (*decode_e4m3)(const uint8_t* codes, int64_t n, float scale, float* out);
  // codes[i] = E4m3Code(x[i] / divisor), clamped to +-448; NaN stays one.
  void (*encode_e4m3)(const float* x, int64_t n, float divisor, uint8_t* codes);
  // Two e2m1 codes a byte to E2m1Twice() of each.
  void (*unpack_e2m1)(const uint8_t* packed, int64_t bytes, int8_t* twice);
  // A row of n values: for each 16 of them the e4m3 code of max / 6 / scale_2, and E2m1Code() of
  // the values over scale_2 times that, two a byte.
  void (*quantize_nvfp4)(const float* x, int64_t n, float scale_2, uint8_t* packed,
                         uint8_t* scales);
};

// isa must be supported by this machine.
const CodeKernels& CodeKernelsFor(CpuIsa isa);

// One table per file.
extern const CodeKernels kCodeKernelsPortable;
extern const CodeKernels kCodeKernelsAvx2;
extern const CodeKernels kCodeKernelsAvx512Vnni;

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_CODE_KERNELS_H_
