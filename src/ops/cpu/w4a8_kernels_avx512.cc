// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// vpdpbusd takes codes as they are, unsigned; a group's sums start at minus the zero times the sum
// of the token's values.
#if defined(__x86_64__)
#include <immintrin.h>

#include "src/ops/cpu/w4a8_kernels.h"
#include "src/ops/cpu/w4a8_loops.h"

namespace wanlite::ops {
namespace {
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

// 16 sums of 16 lanes, four vectors of weights, tokens and a mask: with more rows the compiler runs
// out of registers.
constexpr int kRows = 8;
constexpr int kColumns = 32;
using Layout = W4A8Layout<kRows, kColumns>;

void PackStrip(const int8_t* q, int64_t rows, int64_t k, int64_t group, uint8_t* strip) {
  Layout::PackStrip(q, rows, k, group, strip);
}
void PackPanel(const W4A8Rows& weight, int64_t columns, int64_t k, int64_t group, uint8_t* panel) {
  Layout::PackPanel(weight, columns, k, group, panel);
}

template <int kUsed>
void MultiplyRows(const uint8_t* strip, const uint8_t* panel, int64_t k, int64_t group,
                  float* sums) {
  const __m512i low = _mm512_set1_epi8(0x0f);
  std::memset(sums, 0, kUsed * kColumns * sizeof(float));
  for (int64_t start = 0; start < k; start += group) {
    const int32_t* totals = reinterpret_cast<const int32_t*>(strip);
    const int32_t* q = totals + kRows;
    const uint8_t* codes = panel + Layout::kHead;
    __m512i exact[kUsed][2];
    const __m512i zeros0 = _mm512_load_si512(panel + 4 * kColumns);
    const __m512i zeros1 = _mm512_load_si512(panel + 4 * kColumns + 64);
#pragma GCC unroll 8
    for (int r = 0; r < kUsed; ++r) {
      const __m512i total = _mm512_set1_epi32(-totals[r]);
      exact[r][0] = _mm512_mullo_epi32(zeros0, total);
      exact[r][1] = _mm512_mullo_epi32(zeros1, total);
    }
    for (int64_t i = 0; i < group; i += 8, codes += 128, q += 2 * kRows) {
      const __m512i both0 = _mm512_load_si512(codes);
      const __m512i both1 = _mm512_load_si512(codes + 64);
      const __m512i w00 = _mm512_and_si512(both0, low), w01 = _mm512_and_si512(both1, low);
      const __m512i w10 = _mm512_and_si512(_mm512_srli_epi16(both0, 4), low);
      const __m512i w11 = _mm512_and_si512(_mm512_srli_epi16(both1, 4), low);
#pragma GCC unroll 8
      for (int r = 0; r < kUsed; ++r) {
        const __m512i x = _mm512_set1_epi32(q[r]);
        exact[r][0] = _mm512_dpbusd_epi32(exact[r][0], w00, x);
        exact[r][1] = _mm512_dpbusd_epi32(exact[r][1], w01, x);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kUsed; ++r) {
        const __m512i x = _mm512_set1_epi32(q[kRows + r]);
        exact[r][0] = _mm512_dpbusd_epi32(exact[r][0], w10, x);
        exact[r][1] = _mm512_dpbusd_epi32(exact[r][1], w11, x);
      }
    }
    const __m512 scale0 = _mm512_load_ps(panel), scale1 = _mm512_load_ps(panel + 64);
#pragma GCC unroll 8
    for (int r = 0; r < kUsed; ++r) {
      float* sum = sums + r * kColumns;
      const __m512 term0 = _mm512_mul_ps(_mm512_cvtepi32_ps(exact[r][0]), scale0);
      const __m512 term1 = _mm512_mul_ps(_mm512_cvtepi32_ps(exact[r][1]), scale1);
      _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), term0));
      _mm512_storeu_ps(sum + 16, _mm512_add_ps(_mm512_loadu_ps(sum + 16), term1));
    }
    strip += Layout::StripPiece(group);
    panel += Layout::PanelPiece(group);
  }
}

void Multiply(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k, int64_t group,
              float* sums) {
  static constexpr decltype(&MultiplyRows<1>) kByRows[kRows] = {
      MultiplyRows<1>, MultiplyRows<2>, MultiplyRows<3>, MultiplyRows<4>,
      MultiplyRows<5>, MultiplyRows<6>, MultiplyRows<7>, MultiplyRows<8>};
  kByRows[rows - 1](strip, panel, k, group, sums);
}

void Finish(const float* sums, int64_t n, float scale, const float* bias, float* out) {
  W4A8FinishLoop(sums, n, scale, bias, out);
}

#pragma GCC pop_options
}  // namespace

const W4A8Kernels kW4A8KernelsAvx512Vnni = {
    .tile_rows = kRows,
    .tile_columns = kColumns,
    .strip_bytes = Layout::StripBytes,
    .panel_bytes = Layout::PanelBytes,
    .pack_strip = PackStrip,
    .pack_panel = PackPanel,
    .multiply = Multiply,
    .wide_bytes = nullptr,
    .widen = nullptr,
    .multiply_wide = nullptr,
    .finish = Finish,
};

}  // namespace wanlite::ops
#endif
