// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// vpdpbusd sums four products of unsigned by signed bytes into 32 bit without saturation. Weights
// are made unsigned by adding 128 while they are packed; a token's sums then come out too large by
// 128 times the sum of its values, which each strip carries in front, negated, as the start of the
// sums. All of it is modulo 2^32, and the true sum fits.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/row_kernels.h"

namespace wanlite::ops {
namespace {
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

// 24 sums of 16 lanes, two weights and one token: 27 of the 32 registers.
constexpr int kRows = 12;
constexpr int kColumns = 32;
constexpr int64_t kPad = 64;

int64_t Quads(int64_t k) { return (k + kPad - 1) / kPad * kPad / 4; }

// Strip: int32 [16] starts of the sums, then bytes [quads][row][4]. Panel: bytes
// [quads][column][4].
constexpr int64_t kStripHead = 64;
size_t StripBytes(int64_t k) { return (kStripHead + Quads(k) * kRows * 4 + 63) / 64 * 64; }
size_t PanelBytes(int64_t k) { return Quads(k) * kColumns * 4; }

void PackStrip(const int8_t* a, int64_t stride, int64_t rows, int64_t k, uint8_t* strip) {
  int32_t* starts = reinterpret_cast<int32_t*>(strip);
  uint8_t* out = strip + kStripHead;
  const int64_t quads = Quads(k);
  std::memset(starts, 0, kStripHead);
  if (rows < kRows || k % kPad != 0) std::memset(out, 0, quads * kRows * 4);
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row = a + r * stride;
    int32_t sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += row[i];
    starts[r] = -128 * sum;
    const int64_t whole = k / 4;
    for (int64_t q = 0; q < whole; ++q) std::memcpy(out + (q * kRows + r) * 4, row + q * 4, 4);
    if (k % 4 != 0) std::memcpy(out + (whole * kRows + r) * 4, row + whole * 4, k % 4);
  }
}

// Transposes 16 rows of 16 dwords: column j of the result's row i is the source's row j, dword i.
void Transpose16(__m512i* r) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  // r[4 g + j], 128-bit lane l: dwords 4 l + j of the source rows 4 g ... 4 g + 3.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512i low01 = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xee);
    const __m512i low23 = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xee);
    t[j] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    t[4 + j] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    t[8 + j] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    t[12 + j] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

void PackPanel(const int8_t* b, int64_t stride, int64_t columns, int64_t k, uint8_t* panel) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  for (int64_t start = 0; start < k; start += kPad) {
    const int64_t left = k - start;
    const __mmask64 mask = left >= kPad ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    for (int64_t half = 0; half < 2; ++half) {
      __m512i rows[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        const int64_t column = half * 16 + i;
        // Beyond the edges any value will do: the token's value there is zero or the sum is
        // dropped.
        rows[i] = column < columns ? _mm512_maskz_loadu_epi8(mask, b + column * stride + start)
                                   : _mm512_setzero_si512();
        rows[i] = _mm512_xor_si512(rows[i], flip);
      }
      Transpose16(rows);
      uint8_t* out = panel + (start / 4 * kColumns + half * 16) * 4;
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) _mm512_store_si512(out + i * kColumns * 4, rows[i]);
    }
  }
}

template <int kUsed>
void MultiplyRows(const uint8_t* strip, const uint8_t* panel, int64_t k, int32_t* sums) {
  const int32_t* starts = reinterpret_cast<const int32_t*>(strip);
  const int32_t* a = reinterpret_cast<const int32_t*>(strip + kStripHead);
  const int64_t quads = Quads(k);
  __m512i acc[kUsed][2];
#pragma GCC unroll 12
  for (int r = 0; r < kUsed; ++r) acc[r][0] = acc[r][1] = _mm512_set1_epi32(starts[r]);
  for (int64_t q = 0; q < quads; ++q, a += kRows, panel += kColumns * 4) {
    const __m512i b0 = _mm512_load_si512(panel);
    const __m512i b1 = _mm512_load_si512(panel + 64);
#pragma GCC unroll 12
    for (int r = 0; r < kUsed; ++r) {
      const __m512i x = _mm512_set1_epi32(a[r]);
      acc[r][0] = _mm512_dpbusd_epi32(acc[r][0], b0, x);
      acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], b1, x);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kUsed; ++r) {
    _mm512_storeu_si512(sums + r * kColumns, acc[r][0]);
    _mm512_storeu_si512(sums + r * kColumns + 16, acc[r][1]);
  }
}

void Multiply(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k, int32_t* sums) {
  static constexpr decltype(&MultiplyRows<1>) kByRows[kRows] = {
      MultiplyRows<1>, MultiplyRows<2>,  MultiplyRows<3>,  MultiplyRows<4>,
      MultiplyRows<5>, MultiplyRows<6>,  MultiplyRows<7>,  MultiplyRows<8>,
      MultiplyRows<9>, MultiplyRows<10>, MultiplyRows<11>, MultiplyRows<12>};
  kByRows[rows - 1](strip, panel, k, sums);
}

void Dequantize(const int32_t* sums, int64_t n, float scale, const float* weight_scale,
                const float* bias, float* out) {
  DequantizeLoop(sums, n, scale, weight_scale, bias, out);
}
int32_t MaxMagnitude(const float* x, int64_t n) { return MaxMagnitudeLoop(x, n); }
void Quantize(const float* x, int64_t n, float divisor, int8_t* q) {
  QuantizeLoop(x, n, divisor, q);
}
void Rotate(float* x, int64_t n, int64_t group) { RotateLoop(x, n, group); }
void LayerNorm(float* x, int64_t n, float eps, const float* weight, const float* bias) {
  LayerNormLoop(x, n, eps, weight, bias);
}
void RmsNorm(float* x, int64_t n, float eps, const float* weight) {
  RmsNormLoop(x, n, eps, weight);
}
void Rotary(float* x, int64_t n, const float* table, int64_t dim) { RotaryLoop(x, n, table, dim); }
void Gelu(float* x, int64_t n) { GeluLoop(x, n); }

#pragma GCC pop_options
}  // namespace

const Int8Kernels kInt8KernelsAvx512Vnni = {
    .tile_rows = kRows,
    .tile_columns = kColumns,
    .strip_bytes = StripBytes,
    .panel_bytes = PanelBytes,
    .pack_strip = PackStrip,
    .pack_panel = PackPanel,
    .multiply = Multiply,
    .wide_bytes = nullptr,
    .widen = nullptr,
    .multiply_wide = nullptr,
    .dequantize = Dequantize,
    .max_magnitude = MaxMagnitude,
    .quantize = Quantize,
    .rotate = Rotate,
    .layer_norm = LayerNorm,
    .rms_norm = RmsNorm,
    .rotary = Rotary,
    .gelu = Gelu,
};

}  // namespace wanlite::ops
#endif
