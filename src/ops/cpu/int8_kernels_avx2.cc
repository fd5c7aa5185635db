// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// AVX2 has no instruction that sums 8-bit products in 32 bit. Its u8 x s8 one (vpmaddubsw)
// saturates in 16 bit and gives wrong sums for ordinary weights, so both sides are widened to 16
// bit and multiplied by vpmaddwd, which is exact: tokens while they are packed, weights by the
// kernel, or once for all strips where these are many.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/row_kernels.h"

namespace wanlite::ops {
namespace {
#pragma GCC push_options
#pragma GCC target("avx2")

constexpr int kRows = 6;
constexpr int kColumns = 16;
constexpr int64_t kPad = 32;

int64_t Pairs(int64_t k) { return (k + kPad - 1) / kPad * kPad / 2; }

// Strip: int16 [pairs][row][2]. Panel: int8 [pairs][column][2]; widened: int16.
size_t StripBytes(int64_t k) { return (Pairs(k) * kRows * 4 + 63) / 64 * 64; }
size_t PanelBytes(int64_t k) { return Pairs(k) * kColumns * 2; }
size_t WideBytes(int64_t k) { return Pairs(k) * kColumns * 4; }

void PackStrip(const int8_t* a, int64_t stride, int64_t rows, int64_t k, uint8_t* strip) {
  int16_t* out = reinterpret_cast<int16_t*>(strip);
  if (rows < kRows || k % kPad != 0) std::memset(strip, 0, Pairs(k) * kRows * 4);
  // A block of 16 values of every row at a time, so that the written lines stay in the cache.
  for (int64_t start = 0; start < k; start += 16) {
    for (int64_t row = 0; row < rows; ++row) {
      const int8_t* in = a + row * stride + start;
      alignas(32) int16_t wide[16];
      if (start + 16 <= k) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
        _mm256_store_si256(reinterpret_cast<__m256i*>(wide), _mm256_cvtepi8_epi16(bytes));
      } else {
        for (int64_t i = 0; i < 16; ++i) wide[i] = start + i < k ? in[i] : 0;
      }
      for (int64_t pair = 0; pair < 8; ++pair) {
        std::memcpy(out + ((start / 2 + pair) * kRows + row) * 2, wide + pair * 2, 4);
      }
    }
  }
}

// Transposes 8 rows of 8 words.
void Transpose8(__m128i* r) {
  __m128i t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm_unpacklo_epi32(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm_unpackhi_epi32(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm_unpacklo_epi32(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm_unpackhi_epi32(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm_unpacklo_epi64(r[i], r[4 + i]);
    t[2 * i + 1] = _mm_unpackhi_epi64(r[i], r[4 + i]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}

void PackPanel(const int8_t* b, int64_t stride, int64_t columns, int64_t k, uint8_t* panel) {
  if (k % kPad != 0) std::memset(panel, 0, PanelBytes(k));
  for (int64_t start = 0; start < k; start += 16) {
    const int64_t left = k - start;
    for (int64_t half = 0; half < 2; ++half) {
      __m128i rows[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const int64_t column = half * 8 + i;
        rows[i] = _mm_setzero_si128();
        if (column >= columns) continue;
        const int8_t* in = b + column * stride + start;
        if (left >= 16) {
          rows[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
        } else {
          alignas(16) int8_t rest[16] = {};
          std::memcpy(rest, in, left);
          rows[i] = _mm_load_si128(reinterpret_cast<const __m128i*>(rest));
        }
      }
      Transpose8(rows);
      uint8_t* out = panel + (start / 2 * kColumns + half * 8) * 2;
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        _mm_store_si128(reinterpret_cast<__m128i*>(out + i * kColumns * 2), rows[i]);
      }
    }
  }
}

void Widen(const uint8_t* panel, int64_t k, uint8_t* wide) {
  const int64_t values = Pairs(k) * kColumns * 2;
  for (int64_t i = 0; i < values; i += 16) {
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(panel + i));
    _mm256_store_si256(reinterpret_cast<__m256i*>(wide + 2 * i), _mm256_cvtepi8_epi16(bytes));
  }
}

// Eight weights' pairs, of a panel or of a widened one.
template <bool kWide>
__attribute__((always_inline)) inline __m256i LoadPairs(const uint8_t* at) {
  if constexpr (kWide) return _mm256_load_si256(reinterpret_cast<const __m256i*>(at));
  return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(at)));
}

template <int kUsed, bool kWide>
void MultiplyRows(const uint8_t* strip, const uint8_t* panel, int64_t k, int32_t* sums) {
  constexpr int64_t kStep = kWide ? 32 : 16;
  const int64_t pairs = Pairs(k);
  __m256i acc[kUsed][2];
#pragma GCC unroll 6
  for (int r = 0; r < kUsed; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  const int32_t* a = reinterpret_cast<const int32_t*>(strip);
  for (int64_t pair = 0; pair < pairs; ++pair, a += kRows, panel += 2 * kStep) {
    const __m256i b0 = LoadPairs<kWide>(panel);
    const __m256i b1 = LoadPairs<kWide>(panel + kStep);
#pragma GCC unroll 6
    for (int r = 0; r < kUsed; ++r) {
      const __m256i x = _mm256_set1_epi32(a[r]);
      acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(x, b0));
      acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(x, b1));
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kUsed; ++r) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kColumns), acc[r][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kColumns + 8), acc[r][1]);
  }
}

template <bool kWide>
void MultiplyAny(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k,
                 int32_t* sums) {
  static constexpr decltype(&MultiplyRows<1, kWide>) kByRows[kRows] = {
      MultiplyRows<1, kWide>, MultiplyRows<2, kWide>, MultiplyRows<3, kWide>,
      MultiplyRows<4, kWide>, MultiplyRows<5, kWide>, MultiplyRows<6, kWide>};
  kByRows[rows - 1](strip, panel, k, sums);
}

void Multiply(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k, int32_t* sums) {
  MultiplyAny<false>(strip, rows, panel, k, sums);
}
void MultiplyWide(const uint8_t* strip, int64_t rows, const uint8_t* wide, int64_t k,
                  int32_t* sums) {
  MultiplyAny<true>(strip, rows, wide, k, sums);
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

const Int8Kernels kInt8KernelsAvx2 = {
    .tile_rows = kRows,
    .tile_columns = kColumns,
    .strip_bytes = StripBytes,
    .panel_bytes = PanelBytes,
    .pack_strip = PackStrip,
    .pack_panel = PackPanel,
    .multiply = Multiply,
    .wide_bytes = WideBytes,
    .widen = Widen,
    .multiply_wide = MultiplyWide,
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
