// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The arithmetic of group-wise INT4, shared by kernels: plain IEEE steps in a fixed order (compiled
// without contraction into FMA), as int8_math.h.
//
//   symmetric:   scale = max|w| / 7 over one group           code = round(w / scale) + 8, 1 ... 15
//   zero point:  scale = max(w, 0) / 15 - min(w, 0) / 15     zero = round(-min(w, 0) / scale)
//                code = round(w / scale) + zero, 0 ... 15
//   w = (code - zero) * scale, where zero is 8 in symmetric groups
//
// Rounding is half to even. Two codes a byte, the even feature in the low nibble.
#ifndef WANLITE_SRC_OPS_INT4_MATH_H_
#define WANLITE_SRC_OPS_INT4_MATH_H_

#include <cstdint>

#include "src/ops/int8_math.h"

namespace wanlite::ops {

inline constexpr int32_t kInt4Limit = 7;
inline constexpr int32_t kInt4Codes = 15;     // the largest code
inline constexpr int32_t kInt4Symmetric = 8;  // the code of 0 in symmetric groups

// The nearest bf16, ties to even; NaN stays one.
WANLITE_HOST_DEVICE float NearestBf16(float value) {
  const uint32_t bits = static_cast<uint32_t>(FloatBits(value));
  if ((bits & 0x7fffffffu) > static_cast<uint32_t>(kInfinityBits)) return value;
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return FloatFromBits(static_cast<int32_t>(rounded & 0xffff0000u));
}

// A scale that is safe to divide by: never a denormal.
WANLITE_HOST_DEVICE float NormalScale(float scale) {
  const float smallest_normal = FloatFromBits(0x00800000);
  return scale > 0.0f && scale < smallest_normal ? smallest_normal : scale;
}

// From the bits of a group's max|w|: 0 for zeros, NaN where there is an infinity or a NaN.
WANLITE_HOST_DEVICE float Int4Scale(int32_t max_bits) {
  if (max_bits >= kInfinityBits) return FloatFromBits(0x7fc00000);
  return NormalScale(FloatFromBits(max_bits) / 7.0f);
}

// From a group's largest and smallest value, both with 0 among them.
WANLITE_HOST_DEVICE float Int4ZeroPointScale(float high, float low) {
  return NormalScale(high / 15.0f - low / 15.0f);
}

// round(value / divisor), ties to even, clamped to [low, high]; `low` for a NaN.
WANLITE_HOST_DEVICE int32_t RoundQuotient(float value, float divisor, float low, float high) {
  float ratio = value / divisor;
  ratio = ratio > low ? ratio : low;
  ratio = ratio < high ? ratio : high;
  return FloatBits(ratio + 12582912.0f) - 0x4b400000;
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_INT4_MATH_H_
