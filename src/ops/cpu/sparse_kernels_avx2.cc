// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

#include "src/ops/cpu/sparse_kernels.h"
#include "src/ops/int8_math.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#include "src/ops/cpu/sparse_loops.h"

namespace wanlite::ops {
namespace {

struct Avx2SparseFloats {
  using Vec = __m256;
  static constexpr int kLanes = 8;
  WANLITE_HOST_DEVICE static Vec Load(const float* at) { return _mm256_loadu_ps(at); }
  WANLITE_HOST_DEVICE static void Store(float* at, Vec x) { _mm256_storeu_ps(at, x); }
  WANLITE_HOST_DEVICE static Vec Set1(float x) { return _mm256_set1_ps(x); }
  WANLITE_HOST_DEVICE static Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  WANLITE_HOST_DEVICE static Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  // Lane i of the two keeps feature 4 (i / 2) + place i of 32.
  WANLITE_HOST_DEVICE static void Gather(const float* x, uint32_t bits, Vec* kept) {
    const __m256i shifts = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i first = _mm256_setr_epi32(0, 0, 4, 4, 0, 0, 4, 4);
    for (int half = 0; half < 2; ++half) {
      const int own = static_cast<int>(bits >> (16 * half));
      const __m256i place =
          _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(own), shifts), _mm256_set1_epi32(3));
      const __m256i index = _mm256_or_si256(first, place);
      const Vec low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + 16 * half), index);
      const Vec high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + 16 * half + 8), index);
      kept[half] = _mm256_blend_ps(low, high, 0xf0);
    }
  }
};
using Loops2 = SparseLoops<Avx2SparseFloats>;

}  // namespace

const SparseKernels kSparseKernelsAvx2 = {
    .accumulate_16 = Loops2::Accumulate<16>,
    .accumulate_32 = Loops2::Accumulate<32>,
    .accumulate_64 = Loops2::Accumulate<64>,
    .dot_2_of_4 = Loops2::Dot2Of4,
    .lanes_2_of_4 = nullptr,
    .multiply_2_of_4 = nullptr,
};

}  // namespace wanlite::ops
#pragma GCC pop_options
#endif
