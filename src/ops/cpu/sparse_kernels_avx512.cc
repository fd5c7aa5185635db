// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

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
  // Lane i keeps feature 4 (i / 2) + place i of 32.
  WANLITE_HOST_DEVICE static void Gather(const float* x, uint32_t bits, Vec* kept) {
    const __m512i shifts =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i first =
        _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
    const __m512i place = _mm512_and_epi32(
        _mm512_srlv_epi32(_mm512_set1_epi32(static_cast<int>(bits)), shifts), _mm512_set1_epi32(3));
    kept[0] = _mm512_permutex2var_ps(_mm512_loadu_ps(x), _mm512_or_epi32(first, place),
                                     _mm512_loadu_ps(x + 16));
  }
};
using Loops512 = SparseLoops<Avx512SparseFloats>;

}  // namespace

const SparseKernels kSparseKernelsAvx512 = {
    .accumulate_16 = Loops512::Accumulate<16>,
    .accumulate_32 = Loops512::Accumulate<32>,
    .accumulate_64 = Loops512::Accumulate<64>,
    .dot_2_of_4 = Loops512::Dot2Of4,
};

}  // namespace wanlite::ops
#pragma GCC pop_options
#endif
