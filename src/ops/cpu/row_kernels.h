// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Row loops that the compiler vectorises by itself. Each instruction set's file inlines them into
// functions of its own target; the steps are IEEE, so the results do not depend on it.
#ifndef WANLITE_SRC_OPS_CPU_ROW_KERNELS_H_
#define WANLITE_SRC_OPS_CPU_ROW_KERNELS_H_

#include <cmath>
#include <cstdint>

#include "src/ops/int8_math.h"

namespace wanlite::ops {

WANLITE_HOST_DEVICE int32_t MaxMagnitudeLoop(const float* __restrict__ x, int64_t n) {
  int32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t bits = MagnitudeBits(x[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

WANLITE_HOST_DEVICE void QuantizeLoop(const float* __restrict__ x, int64_t n, float divisor,
                                      int8_t* __restrict__ q) {
  for (int64_t i = 0; i < n; ++i) q[i] = static_cast<int8_t>(QuantizeInt8(x[i], divisor));
}

WANLITE_HOST_DEVICE void DequantizeLoop(const int32_t* __restrict__ sums, int64_t n, float scale,
                                        const float* __restrict__ weight_scale,
                                        const float* __restrict__ bias, float* __restrict__ out) {
  for (int64_t i = 0; i < n; ++i) out[i] = DequantizeSum(sums[i], scale, weight_scale[i], bias[i]);
}

template <int64_t kStride>
WANLITE_HOST_DEVICE void RotateStage(float* __restrict__ x, int64_t n) {
  for (int64_t base = 0; base < n; base += 4 * kStride) {
    float* __restrict__ p = x + base;
    for (int64_t i = 0; i < kStride; ++i) {
      Hadamard4(p[i], p[i + kStride], p[i + 2 * kStride], p[i + 3 * kStride]);
    }
  }
}

// The stages of one group run while it is in the first-level cache.
WANLITE_HOST_DEVICE void RotateLoop(float* x, int64_t n, int64_t group) {
  for (int64_t start = 0; start < n; start += group) {
    float* p = x + start;
    RotateStage<1>(p, group);
    if (group >= 16) RotateStage<4>(p, group);
    if (group >= 64) RotateStage<16>(p, group);
    if (group >= 256) RotateStage<64>(p, group);
    if (group >= 1024) RotateStage<256>(p, group);
  }
}

// Partial sums of a row: value i belongs to the sum i % kNormLanes, whatever a register holds.
inline constexpr int64_t kNormLanes = 64;

WANLITE_HOST_DEVICE float SumOfLanes(float* __restrict__ lanes) {
  for (int64_t half = kNormLanes / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

WANLITE_HOST_DEVICE void LayerNormLoop(float* __restrict__ x, int64_t n, float eps,
                                       const float* __restrict__ weight,
                                       const float* __restrict__ bias) {
  const int64_t whole = n - n % kNormLanes;
  const float count = static_cast<float>(n);
  float lanes[kNormLanes] = {};
  for (int64_t start = 0; start < whole; start += kNormLanes) {
    for (int64_t i = 0; i < kNormLanes; ++i) lanes[i] += x[start + i];
  }
  for (int64_t i = whole; i < n; ++i) lanes[i - whole] += x[i];
  const float mean = SumOfLanes(lanes) / count;
  for (int64_t i = 0; i < kNormLanes; ++i) lanes[i] = 0.0f;
  for (int64_t start = 0; start < whole; start += kNormLanes) {
    for (int64_t i = 0; i < kNormLanes; ++i) {
      const float distance = x[start + i] - mean;
      lanes[i] += distance * distance;
    }
  }
  for (int64_t i = whole; i < n; ++i) {
    const float distance = x[i] - mean;
    lanes[i - whole] += distance * distance;
  }
  const float scale = 1.0f / std::sqrt(SumOfLanes(lanes) / count + eps);
  for (int64_t i = 0; i < n; ++i) x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

WANLITE_HOST_DEVICE void RmsNormLoop(float* __restrict__ x, int64_t n, float eps,
                                     const float* __restrict__ weight) {
  const int64_t whole = n - n % kNormLanes;
  float lanes[kNormLanes] = {};
  for (int64_t start = 0; start < whole; start += kNormLanes) {
    for (int64_t i = 0; i < kNormLanes; ++i) lanes[i] += x[start + i] * x[start + i];
  }
  for (int64_t i = whole; i < n; ++i) lanes[i - whole] += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(SumOfLanes(lanes) / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] * scale * weight[i];
}

// Pairs of x as complex numbers times those of the table, of `dim` floats, over and over.
WANLITE_HOST_DEVICE void RotaryLoop(float* __restrict__ x, int64_t n,
                                    const float* __restrict__ table, int64_t dim) {
  for (int64_t head = 0; head < n; head += dim) {
    float* __restrict__ p = x + head;
    for (int64_t i = 0; i < dim; i += 2) {
      const float real = p[i] * table[i] - p[i + 1] * table[i + 1];
      p[i + 1] = p[i] * table[i + 1] + p[i + 1] * table[i];
      p[i] = real;
    }
  }
}

WANLITE_HOST_DEVICE void GeluLoop(float* __restrict__ x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = GeluTanh(x[i]);
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_ROW_KERNELS_H_
