// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <limits>

#include "src/ops/cpu/attention_kernels.h"
#include "src/ops/int8_math.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#include "src/ops/cpu/attention_loops.h"

namespace wanlite::ops {
namespace {

struct Avx2Floats {
  using Vec = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kRows = 6;
  WANLITE_HOST_DEVICE static Vec Load(const float* at) { return _mm256_loadu_ps(at); }
  WANLITE_HOST_DEVICE static void Store(float* at, Vec x) { _mm256_storeu_ps(at, x); }
  WANLITE_HOST_DEVICE static Vec Set1(float x) { return _mm256_set1_ps(x); }
  WANLITE_HOST_DEVICE static Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  WANLITE_HOST_DEVICE static Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
};
using Loops = AttentionLoops<Avx2Floats>;

}  // namespace

const AttentionKernels kAttentionKernelsAvx2 = {
    .columns = Loops::kColumns,
    .pack_keys = Loops::PackKeys,
    .pack_values = Loops::PackValues,
    .attend = Loops::Attend,
};

}  // namespace wanlite::ops
#pragma GCC pop_options
#endif
