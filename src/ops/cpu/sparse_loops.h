// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The loops of SparseKernels. Each instruction set's file includes them within its own target.
// Floats says how: its vectors, and Gather(x, bits): of 32 features x the 16 that 2:4 places keep.
#ifndef WANLITE_SRC_OPS_CPU_SPARSE_LOOPS_H_
#define WANLITE_SRC_OPS_CPU_SPARSE_LOOPS_H_

#include <cstdint>
#include <cstring>

namespace wanlite::ops {
namespace {

template <typename Floats>
struct SparseLoops {
  using Vec = typename Floats::Vec;
  static constexpr int kLanes = Floats::kLanes;

  template <int kWidth>
  static void Accumulate(const float* __restrict__ columns, const int32_t* __restrict__ index,
                         const float* __restrict__ values, int64_t count,
                         float* __restrict__ sums) {
    constexpr int kVectors = kWidth / kLanes;
    // Values in turn go to so many sums of their own, whose additions do not wait for each other.
    constexpr int kSets = 64 / kWidth;
    Vec sum[kSets][kVectors];
    for (int v = 0; v < kVectors; ++v) {
      sum[0][v] = Floats::Load(sums + v * kLanes);
      for (int s = 1; s < kSets; ++s) sum[s][v] = Floats::Set1(0.0f);
    }
    int64_t i = 0;
    for (; i + kSets <= count; i += kSets) {
#pragma GCC unroll 4
      for (int s = 0; s < kSets; ++s) {
        const Vec value = Floats::Set1(values[i + s]);
        const float* column = columns + static_cast<int64_t>(index[i + s]) * kWidth;
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          sum[s][v] = Floats::Fma(value, Floats::Load(column + v * kLanes), sum[s][v]);
        }
      }
    }
    for (; i < count; ++i) {
      const Vec value = Floats::Set1(values[i]);
      const float* column = columns + static_cast<int64_t>(index[i]) * kWidth;
      for (int v = 0; v < kVectors; ++v) {
        sum[0][v] = Floats::Fma(value, Floats::Load(column + v * kLanes), sum[0][v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      for (int s = 1; s < kSets; ++s) sum[0][v] = Floats::Add(sum[0][v], sum[s][v]);
      Floats::Store(sums + v * kLanes, sum[0][v]);
    }
  }

  static float Dot2Of4(const float* __restrict__ x, const uint8_t* __restrict__ places,
                       const float* __restrict__ values, int64_t count) {
    constexpr int kVectors = 16 / kLanes;
    Vec sum[2][kVectors];
    for (int v = 0; v < kVectors; ++v) sum[0][v] = sum[1][v] = Floats::Set1(0.0f);
    int64_t i = 0;
    for (int set = 0; i + 16 <= count; i += 16, set ^= 1) {
      uint32_t bits;
      std::memcpy(&bits, places + i / 4, sizeof(bits));
      Vec kept[kVectors];
      Floats::Gather(x + 2 * i, bits, kept);
      Vec* own = sum[set];
      for (int v = 0; v < kVectors; ++v) {
        own[v] = Floats::Fma(Floats::Load(values + i + v * kLanes), kept[v], own[v]);
      }
    }
    float lanes[16];
    for (int v = 0; v < kVectors; ++v) {
      Floats::Store(lanes + v * kLanes, Floats::Add(sum[0][v], sum[1][v]));
    }
    float total = 0.0f;
    for (const float lane : lanes) total += lane;
    for (; i < count; ++i) {
      const int place = (places[i / 4] >> (2 * (i % 4))) & 3;
      total += values[i] * x[i / 2 * 4 + place];
    }
    return total;
  }
};

}  // namespace
}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_SPARSE_LOOPS_H_
