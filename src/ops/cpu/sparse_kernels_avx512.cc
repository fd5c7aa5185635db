// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "src/ops/cpu/sparse_kernels.h"
#include "src/ops/int8_math.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl")
#include "src/ops/cpu/sparse_loops.h"

namespace wanlite::ops {
namespace {

struct Avx512SparseFloats {
  using Vec = __m512;
  static constexpr int kLanes = 16;
  WANLITE_HOST_DEVICE static Vec Load(const float* at) { return _mm512_loadu_ps(at); }
  WANLITE_HOST_DEVICE static void Store(float* at, Vec x) { _mm512_storeu_ps(at, x); }
  WANLITE_HOST_DEVICE static Vec Set1(float x) { return _mm512_set1_ps(x); }
  WANLITE_HOST_DEVICE static Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  WANLITE_HOST_DEVICE static Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  // Of 16 places in 2 bits each.
  WANLITE_HOST_DEVICE static __m512i Lanes(uint32_t bits) {
    const __m512i shifts =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i first =
        _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
    const __m512i place = _mm512_and_epi32(
        _mm512_srlv_epi32(_mm512_set1_epi32(static_cast<int>(bits)), shifts), _mm512_set1_epi32(3));
    return _mm512_or_epi32(first, place);
  }
  WANLITE_HOST_DEVICE static void Gather(const float* x, uint32_t bits, Vec* kept) {
    kept[0] = _mm512_permutex2var_ps(_mm512_loadu_ps(x), Lanes(bits), _mm512_loadu_ps(x + 16));
  }
};
using Loops512 = SparseLoops<Avx512SparseFloats>;

void Lanes2Of4(const uint8_t* places, int64_t bytes, int64_t steps, int64_t stride,
               int32_t* lanes) {
  for (int64_t step = 0; step < steps; ++step) {
    uint32_t bits = 0;
    std::memcpy(&bits, places + 4 * step, 4 * step + 4 <= bytes ? 4 : bytes - 4 * step);
    _mm512_store_si512(lanes + step * stride, Avx512SparseFloats::Lanes(bits));
  }
}

template <int kTokens>
void MultiplyTile2Of4(const float* x, const int32_t* lanes, const float* const* values,
                      int64_t steps, float* sums) {
  constexpr int kRows = static_cast<int>(kTileRows);
  const int64_t stride = 32 * steps;
  __m512 sum[kTokens][kRows];
  for (auto& row : sum) {
    for (__m512& one : row) one = _mm512_setzero_ps();
  }
  for (int64_t step = 0; step < steps; ++step) {
    __m512i lane[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) lane[r] = _mm512_load_si512(lanes + (step * kRows + r) * 16);
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      const __m512 low = _mm512_loadu_ps(x + t * stride + 32 * step);
      const __m512 high = _mm512_loadu_ps(x + t * stride + 32 * step + 16);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        sum[t][r] = _mm512_fmadd_ps(_mm512_permutex2var_ps(low, lane[r], high),
                                    _mm512_loadu_ps(values[r] + step * 16), sum[t][r]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) sums[t * kRows + r] = _mm512_reduce_add_ps(sum[t][r]);
  }
}

void Multiply2Of4(const float* x, int64_t tokens, const int32_t* lanes, const float* const* values,
                  int64_t steps, float* sums) {
  switch (tokens) {
    case 1:
      return MultiplyTile2Of4<1>(x, lanes, values, steps, sums);
    case 2:
      return MultiplyTile2Of4<2>(x, lanes, values, steps, sums);
    case 3:
      return MultiplyTile2Of4<3>(x, lanes, values, steps, sums);
    default:
      return MultiplyTile2Of4<4>(x, lanes, values, steps, sums);
  }
}

}  // namespace

const SparseKernels kSparseKernelsAvx512 = {
    .accumulate_16 = Loops512::Accumulate<16>,
    .accumulate_32 = Loops512::Accumulate<32>,
    .accumulate_64 = Loops512::Accumulate<64>,
    .dot_2_of_4 = Loops512::Dot2Of4,
    .lanes_2_of_4 = Lanes2Of4,
    .multiply_2_of_4 = Multiply2Of4,
};

}  // namespace wanlite::ops
#pragma GCC pop_options
#endif
