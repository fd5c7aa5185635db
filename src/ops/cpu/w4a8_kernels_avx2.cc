// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// vpmaddubsw sums two products of unsigned by signed bytes in 16 bit. With codes of 4 bits eight of
// its results may be added up before they are widened: twice the rate of exact INT8.
#if defined(__x86_64__)
#include <immintrin.h>

#include "src/ops/cpu/w4a8_kernels.h"
#include "src/ops/cpu/w4a8_loops.h"

namespace wanlite::ops {
namespace {
#pragma GCC push_options
#pragma GCC target("avx2")

constexpr int kRows = 4;
constexpr int kColumns = 16;
using Layout = W4A8Layout<kRows, kColumns>;

void PackStrip(const int8_t* q, int64_t rows, int64_t k, int64_t group, uint8_t* strip) {
  Layout::PackStrip(q, rows, k, group, strip);
}
void PackPanel(const W4A8Rows& weight, int64_t columns, int64_t k, int64_t group, uint8_t* panel) {
  Layout::PackPanel(weight, columns, k, group, panel);
}
void Widen(const uint8_t* panel, int64_t k, int64_t group, uint8_t* wide) {
  Layout::Widen(panel, k, group, wide);
}

template <int kUsed, bool kWide>
void MultiplyRows(const uint8_t* strip, const uint8_t* panel, int64_t k, int64_t group,
                  float* sums) {
  const __m256i ones = _mm256_set1_epi16(1), low = _mm256_set1_epi8(0x0f);
  std::memset(sums, 0, kUsed * kColumns * sizeof(float));
  for (int64_t start = 0; start < k; start += group) {
    const int32_t* totals = reinterpret_cast<const int32_t*>(strip);
    const float* scales = reinterpret_cast<const float*>(panel);
    const int32_t* q = totals + kRows;
    const uint8_t* codes = panel + Layout::kHead;
    // In memory: the registers hold the 16-bit sums.
    alignas(32) __m256i exact[kUsed][2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const __m256i zeros =
          _mm256_load_si256(reinterpret_cast<const __m256i*>(panel + 4 * kColumns + v * 32));
#pragma GCC unroll 4
      for (int r = 0; r < kUsed; ++r) {
        exact[r][v] = _mm256_mullo_epi32(zeros, _mm256_set1_epi32(-totals[r]));
      }
    }
    for (int64_t step = 0; step < group; step += kW4A8GroupStep) {
      __m256i partial[kUsed][2];
#pragma GCC unroll 4
      for (int r = 0; r < kUsed; ++r) partial[r][0] = partial[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
      for (int i = 0; i < 4; ++i) {  // eight features
        __m256i w[2][2];             // [four of them][half of the columns]
        if constexpr (kWide) {
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j) {
            w[j / 2][j % 2] = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes + j * 32));
          }
          codes += 128;
        } else {
#pragma GCC unroll 2
          for (int v = 0; v < 2; ++v) {
            const __m256i both =
                _mm256_load_si256(reinterpret_cast<const __m256i*>(codes + v * 32));
            w[0][v] = _mm256_and_si256(both, low);
            w[1][v] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
          }
          codes += 64;
        }
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half, q += kRows) {
#pragma GCC unroll 4
          for (int r = 0; r < kUsed; ++r) {
            const __m256i x = _mm256_set1_epi32(q[r]);
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
              partial[r][v] = _mm256_add_epi16(partial[r][v], _mm256_maddubs_epi16(w[half][v], x));
              // Keeps the compiler from adding up products first, which would not fit the
              // registers.
              asm("" : "+x"(partial[r][v]));
            }
          }
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < kUsed; ++r) {
        exact[r][0] = _mm256_add_epi32(exact[r][0], _mm256_madd_epi16(partial[r][0], ones));
        exact[r][1] = _mm256_add_epi32(exact[r][1], _mm256_madd_epi16(partial[r][1], ones));
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const __m256 scale = _mm256_load_ps(scales + v * 8);
#pragma GCC unroll 4
      for (int r = 0; r < kUsed; ++r) {
        float* sum = sums + r * kColumns + v * 8;
        const __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(exact[r][v]), scale);
        _mm256_storeu_ps(sum, _mm256_add_ps(_mm256_loadu_ps(sum), term));
      }
    }
    strip += Layout::StripPiece(group);
    panel += kWide ? Layout::WidePiece(group) : Layout::PanelPiece(group);
  }
}

template <bool kWide>
void MultiplyAny(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k, int64_t group,
                 float* sums) {
  static constexpr decltype(&MultiplyRows<1, kWide>) kByRows[kRows] = {
      MultiplyRows<1, kWide>, MultiplyRows<2, kWide>, MultiplyRows<3, kWide>,
      MultiplyRows<4, kWide>};
  kByRows[rows - 1](strip, panel, k, group, sums);
}

void Multiply(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k, int64_t group,
              float* sums) {
  MultiplyAny<false>(strip, rows, panel, k, group, sums);
}
void MultiplyWide(const uint8_t* strip, int64_t rows, const uint8_t* wide, int64_t k, int64_t group,
                  float* sums) {
  MultiplyAny<true>(strip, rows, wide, k, group, sums);
}

void Finish(const float* sums, int64_t n, float scale, const float* bias, float* out) {
  W4A8FinishLoop(sums, n, scale, bias, out);
}

#pragma GCC pop_options
}  // namespace

const W4A8Kernels kW4A8KernelsAvx2 = {
    .tile_rows = kRows,
    .tile_columns = kColumns,
    .strip_bytes = Layout::StripBytes,
    .panel_bytes = Layout::PanelBytes,
    .pack_strip = PackStrip,
    .pack_panel = PackPanel,
    .multiply = Multiply,
    .wide_bytes = Layout::WideBytes,
    .widen = Widen,
    .multiply_wide = MultiplyWide,
    .finish = Finish,
};

}  // namespace wanlite::ops
#endif
