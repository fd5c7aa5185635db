// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// AVX2 has no instruction that sums 8-bit products in 32 bit. Its u8 x s8 one (vpmaddubsw)
// saturates in 16 bit and gives wrong sums for ordinary weights, so both sides are widened to 16
// bit while packing and multiplied by vpmaddwd, which is exact.
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

// Strip: int16 [pairs][row][2]. Panel: int16 [pairs][column][2].
size_t StripBytes(int64_t k) { return (Pairs(k) * kRows * 4 + 63) / 64 * 64; }
size_t PanelBytes(int64_t k) { return Pairs(k) * kColumns * 4; }

template <int kLanes>
void PackPairs(const int8_t* source, int64_t stride, int64_t lanes, int64_t k, uint8_t* packed) {
  int16_t* out = reinterpret_cast<int16_t*>(packed);
  const int64_t pairs = Pairs(k);
  if (lanes < kLanes || k % kPad != 0) std::memset(packed, 0, pairs * kLanes * 4);
  // A block of 16 values of every lane at a time, so that the written lines stay in the cache.
  for (int64_t start = 0; start < k; start += 16) {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int8_t* in = source + lane * stride + start;
      alignas(32) int16_t wide[16];
      if (start + 16 <= k) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
        _mm256_store_si256(reinterpret_cast<__m256i*>(wide), _mm256_cvtepi8_epi16(bytes));
      } else {
        for (int64_t i = 0; i < 16; ++i) wide[i] = start + i < k ? in[i] : 0;
      }
      for (int64_t pair = 0; pair < 8; ++pair) {
        std::memcpy(out + ((start / 2 + pair) * kLanes + lane) * 2, wide + pair * 2, 4);
      }
    }
  }
}

void PackStrip(const int8_t* a, int64_t stride, int64_t rows, int64_t k, uint8_t* strip) {
  PackPairs<kRows>(a, stride, rows, k, strip);
}
void PackPanel(const int8_t* b, int64_t stride, int64_t columns, int64_t k, uint8_t* panel) {
  PackPairs<kColumns>(b, stride, columns, k, panel);
}

void Multiply(const uint8_t* strip, const uint8_t* panel, int64_t k, int32_t* sums) {
  const int64_t pairs = Pairs(k);
  __m256i acc[kRows][2];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  const int32_t* a = reinterpret_cast<const int32_t*>(strip);
  const __m256i* b = reinterpret_cast<const __m256i*>(panel);
  for (int64_t pair = 0; pair < pairs; ++pair, a += kRows, b += 2) {
    const __m256i b0 = _mm256_load_si256(b);
    const __m256i b1 = _mm256_load_si256(b + 1);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m256i x = _mm256_set1_epi32(a[r]);
      acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(x, b0));
      acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(x, b1));
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kColumns), acc[r][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kColumns + 8), acc[r][1]);
  }
}

int32_t MaxMagnitude(const float* x, int64_t n) { return MaxMagnitudeLoop(x, n); }
void Quantize(const float* x, int64_t n, float divisor, int8_t* q) {
  QuantizeLoop(x, n, divisor, q);
}
void Rotate(float* x, int64_t n, int64_t group) { RotateLoop(x, n, group); }
void LayerNorm(float* x, int64_t n, float eps, const float* weight, const float* bias) {
  LayerNormLoop(x, n, eps, weight, bias);
}

#pragma GCC pop_options
}  // namespace

const Int8Kernels kInt8KernelsAvx2 = {kRows,     kColumns,  StripBytes, PanelBytes,
                                      PackStrip, PackPanel, Multiply,   MaxMagnitude,
                                      Quantize,  Rotate,    LayerNorm};

}  // namespace wanlite::ops
#endif
