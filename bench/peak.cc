// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "bench/peak.h"

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "src/metrics/machine.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace wanlite::bench {
namespace {

#if defined(__x86_64__)

// 16 chains hide the latency of any multiply-add (4 to 5 cycles, two a cycle at most), and with
// their two inputs fit the 32 registers of AVX-512; AVX2 has 16 registers, so 12.
constexpr int64_t kChains = 16;
constexpr int64_t kChainsAvx2 = 12;

__attribute__((target("avx2,fma"))) float FmaAvx2(int64_t steps) {
  const __m256 a = _mm256_set1_ps(0.5F), b = _mm256_set1_ps(1.0F);
  __m256 sum[kChainsAvx2];
  for (int i = 0; i < kChainsAvx2; ++i) sum[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChainsAvx2; ++i) sum[i] = _mm256_fmadd_ps(sum[i], a, b);
  }
  for (int i = 1; i < kChainsAvx2; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) float FmaAvx512(int64_t steps) {
  const __m512 a = _mm512_set1_ps(0.5F), b = _mm512_set1_ps(1.0F);
  __m512 sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_fmadd_ps(sum[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512bw,avx512bf16"))) float DotBf16(int64_t steps) {
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-3F), _mm512_set1_ps(2e-3F));
  __m512 sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], a, a);
  }
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512vnni"))) float DotInt8(int64_t steps) {
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
  __m512i sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_epi32(i);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  int32_t lanes[16];
  _mm512_storeu_si512(lanes, sum[0]);
  return static_cast<float>(lanes[0]);
}

double ThreadSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// op_per_step: operations of one step of all chains.
double BestRate(float (*kernel)(int64_t), double op_per_step) {
  constexpr int64_t kSteps = 100'000;
  constexpr int kTries = 12;
  double best = 0;
  volatile float sink = 0;
  for (int i = 0; i < kTries; ++i) {
    const double start = ThreadSeconds();
    sink = kernel(kSteps);
    best = std::max(best, op_per_step * kSteps / (ThreadSeconds() - start));
  }
  (void)sink;
  return best;
}

#endif  // __x86_64__

Peak Measure() {
  Peak peak;
#if defined(__x86_64__)
  const std::vector<std::string> features = DescribeMachine().cpu_features;
  const auto has = [&](const char* name) {
    return std::find(features.begin(), features.end(), name) != features.end();
  };
  if (has("avx512f")) {
    peak.fp32_op_per_second = BestRate(FmaAvx512, kChains * 16 * 2);
  } else if (has("avx2") && has("fma")) {
    peak.fp32_op_per_second = BestRate(FmaAvx2, kChainsAvx2 * 8 * 2);
  }
  if (has("avx512_bf16") && !has("amx_bf16")) {
    peak.bf16_op_per_second = BestRate(DotBf16, kChains * 32 * 2);
  }
  if (has("avx512_vnni") && !has("amx_int8")) {
    peak.int8_op_per_second = BestRate(DotInt8, kChains * 64 * 2);
  }
#endif
  return peak;
}

}  // namespace

const Peak& MachinePeak() {
  static const Peak peak = Measure();
  return peak;
}

}  // namespace wanlite::bench
