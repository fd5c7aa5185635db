// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The loops of attention for one block of queries of one head, on the vectors of an instruction
// set. Included by each instruction set's file inside its target region; Simd names the vector and
// its operations.
//
// Queries are taken kRows at a time, keys and channels of values kColumns at a time. All sums run
// over channels, and over keys, in ascending order by fused multiply-adds, so that the vector's
// width does not change the bits.
#ifndef WANLITE_SRC_OPS_CPU_ATTENTION_LOOPS_H_
#define WANLITE_SRC_OPS_CPU_ATTENTION_LOOPS_H_

#include <cstdint>
#include <cstring>
#include <limits>

#include "src/ops/cpu/attention_kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {

template <typename Simd>
struct AttentionLoops {
  using Vec = typename Simd::Vec;
  static constexpr int kRows = Simd::kRows;
  static constexpr int kVectors = 2;
  static constexpr int kColumns = kVectors * Simd::kLanes;

  // tile [kRows, kColumns] = start + a b. a: [kRows, depth], rows a_stride apart; b: [depth,
  // kColumns]. start: the tile times factor[row], or zero where factor is null.
  WANLITE_HOST_DEVICE static void Tile(const float* a, int64_t a_stride, const float* b,
                                       int64_t depth, const float* factor, float* tile,
                                       int64_t stride) {
    Vec acc[kRows][kVectors];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        acc[r][v] = factor == nullptr ? Simd::Set1(0.0f)
                                      : Simd::Mul(Simd::Load(tile + r * stride + v * Simd::kLanes),
                                                  Simd::Set1(factor[r]));
      }
    }
    for (int64_t i = 0; i < depth; ++i, b += kColumns) {
      const Vec b0 = Simd::Load(b), b1 = Simd::Load(b + Simd::kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const Vec x = Simd::Set1(a[r * a_stride + i]);
        acc[r][0] = Simd::Fma(x, b0, acc[r][0]);
        acc[r][1] = Simd::Fma(x, b1, acc[r][1]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      Simd::Store(tile + r * stride, acc[r][0]);
      Simd::Store(tile + r * stride + Simd::kLanes, acc[r][1]);
    }
  }

  // Of the running softmax: turns scores into weights against the largest score so far, in units of
  // log2; gives what the sums before have to be multiplied by.
  WANLITE_HOST_DEVICE static float Weigh(float* __restrict__ scores, int64_t n, float scale,
                                         float* largest, float* total) {
    // Sixteen partial results, whatever a register holds. Comparisons pass over a NaN: `odd`
    // becomes one where a score is infinite or a NaN.
    float peaks[16], odd[16] = {}, sums[16] = {};
    for (int64_t i = 0; i < 16; ++i) peaks[i] = *largest;
    const int64_t whole = n - n % 16;
    for (int64_t start = 0; start < whole; start += 16) {
      for (int64_t i = 0; i < 16; ++i) {
        const float score = scores[start + i] * scale;
        scores[start + i] = score;
        odd[i] += score * 0.0f;
        peaks[i] = score > peaks[i] ? score : peaks[i];
      }
    }
    for (int64_t i = whole; i < n; ++i) {
      scores[i] *= scale;
      odd[i - whole] += scores[i] * 0.0f;
      peaks[i - whole] = scores[i] > peaks[i - whole] ? scores[i] : peaks[i - whole];
    }
    float peak = peaks[0];
    for (int64_t i = 1; i < 16; ++i) peak = peaks[i] > peak ? peaks[i] : peak;
    for (int64_t start = 0; start < whole; start += 16) {
      for (int64_t i = 0; i < 16; ++i) {
        const float weight = Below(scores[start + i] - peak);
        scores[start + i] = weight;
        sums[i] += weight + odd[i];
      }
    }
    for (int64_t i = whole; i < n; ++i) {
      scores[i] = Below(scores[i] - peak);
      sums[i - whole] += scores[i] + odd[i - whole];
    }
    for (int64_t half = 8; half > 0; half /= 2) {
      for (int64_t i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    const float factor = Below(*largest - peak);
    *largest = peak;
    *total = *total * factor + sums[0];
    return factor;
  }

  // 2^x of x <= 0; next to nothing from -126 down.
  WANLITE_HOST_DEVICE static float Below(float x) { return Exp2(x > -126.0f ? x : -126.0f); }

  static void PackKeys(const float* k, int64_t stride, int64_t keys, int64_t dim, float* packed) {
    for (int64_t first = 0; first < keys; first += kColumns, packed += dim * kColumns) {
      const int64_t used = keys - first < kColumns ? keys - first : kColumns;
      if (used < kColumns) std::memset(packed, 0, dim * kColumns * sizeof(float));
      // Eight channels of every key at a time: a line of the source, few lines of the result.
      for (int64_t start = 0; start < dim; start += 8) {
        for (int64_t key = 0; key < used; ++key) {
          const float* in = k + (first + key) * stride + start;
          for (int64_t i = 0; i < 8; ++i) packed[(start + i) * kColumns + key] = in[i];
        }
      }
    }
  }

  static void PackValues(const float* v, int64_t stride, int64_t keys, int64_t dim, float* packed) {
    for (int64_t first = 0; first < dim; first += kColumns) {
      for (int64_t key = 0; key < keys; ++key, packed += kColumns) {
        std::memcpy(packed, v + key * stride + first, kColumns * sizeof(float));
      }
    }
  }

  // See AttentionKernels::attend.
  static void Attend(const AttentionBlock& block) {
    const int64_t dim = block.dim;
    const int64_t rows = (block.queries + kRows - 1) / kRows * kRows;
    float* largest = block.scratch;
    float* total = largest + kMaxQueries;
    float* factor = total + kMaxQueries;
    float* q = factor + kMaxQueries;
    float* sums = q + kMaxQueries * dim;
    float* scores = sums + kMaxQueries * dim;
    for (int64_t r = 0; r < rows; ++r) {
      largest[r] = -std::numeric_limits<float>::infinity();
      total[r] = 0.0f;
      if (r < block.queries) {
        std::memcpy(q + r * dim, block.q + r * block.q_stride, dim * sizeof(float));
      } else {
        std::memset(q + r * dim, 0, dim * sizeof(float));
      }
    }
    std::memset(sums, 0, rows * dim * sizeof(float));
    for (int64_t first = 0; first < block.keys; first += kKeysAtOnce) {
      const int64_t used = block.keys - first < kKeysAtOnce ? block.keys - first : kKeysAtOnce;
      for (int64_t column = 0; column < used; column += kColumns) {
        const float* panel = block.packed_keys + (first + column) * dim;
        for (int64_t r = 0; r < rows; r += kRows) {
          Tile(q + r * dim, dim, panel, dim, nullptr, scores + r * kKeysAtOnce + column,
               kKeysAtOnce);
        }
      }
      for (int64_t r = 0; r < rows; ++r) {
        factor[r] = Weigh(scores + r * kKeysAtOnce, used, block.scale, &largest[r], &total[r]);
      }
      for (int64_t column = 0; column < dim; column += kColumns) {
        const float* panel = block.packed_values + column * block.keys + first * kColumns;
        for (int64_t r = 0; r < rows; r += kRows) {
          Tile(scores + r * kKeysAtOnce, kKeysAtOnce, panel, used, factor + r,
               sums + r * dim + column, dim);
        }
      }
    }
    for (int64_t r = 0; r < block.queries; ++r) {
      const float inverse = 1.0f / total[r];
      float* out = block.out + r * block.out_stride;
      for (int64_t i = 0; i < dim; ++i) out[i] = sums[r * dim + i] * inverse;
    }
  }
};

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_ATTENTION_LOOPS_H_
