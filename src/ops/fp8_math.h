// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The arithmetic of FP8 e4m3 and FP4 e2m1 (OCP Microscaling 1.0, the "fn" variant of e4m3 without
// infinities), as IEEE steps that every instruction set does alike.
#ifndef WANLITE_SRC_OPS_FP8_MATH_H_
#define WANLITE_SRC_OPS_FP8_MATH_H_

#include <array>
#include <cstdint>

#include "src/ops/int4_math.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {

inline constexpr float kE4m3Limit = 448.0f;
inline constexpr float kE2m1Limit = 6.0f;
// NVFP4: input features that share an e4m3 scale.
inline constexpr int64_t kNvfp4Group = 16;

// The e4m3 code nearest to a value, ties to even, as torch rounds to float8_e4m3fn: beyond 464, and
// for a NaN, the code of NaN.
WANLITE_HOST_DEVICE uint8_t E4m3Code(float value) {
  const uint32_t bits = static_cast<uint32_t>(FloatBits(value));
  const uint32_t sign = bits & 0x80000000u;
  const uint32_t magnitude = bits ^ sign;
  // Below the smallest normal number, 2^-6, adding 2^14 leaves the code in the lowest bits.
  const float shifted = FloatFromBits(static_cast<int32_t>(magnitude)) + 16384.0f;
  const uint32_t denormal = static_cast<uint32_t>(FloatBits(shifted)) - 0x46800000u;
  // The exponent is rebiased from 127 to 7; half of the last place but one bit rounds.
  const uint32_t normal =
      (magnitude - (uint32_t{120} << 23) + 0x7ffffu + ((magnitude >> 20) & 1u)) >> 20;
  uint32_t code = magnitude < (uint32_t{121} << 23) ? denormal : normal;
  code = magnitude >= 0x43f00000u ? 0x7fu : code;  // 480
  return static_cast<uint8_t>(code | (sign >> 24));
}

// From the bits of a row's max|w|, as Int4Scale().
WANLITE_HOST_DEVICE float Fp8Scale(int32_t max_bits) {
  if (max_bits >= kInfinityBits) return FloatFromBits(0x7fc00000);
  return NormalScale(FloatFromBits(max_bits) / kE4m3Limit);
}

// NVFP4: what the e4m3 scales are multiplied by, so that the largest is 448.
WANLITE_HOST_DEVICE float Nvfp4Scale2(int32_t max_bits) {
  if (max_bits >= kInfinityBits) return FloatFromBits(0x7fc00000);
  return NormalScale(FloatFromBits(max_bits) / (kE2m1Limit * kE4m3Limit));
}

// The value of each code.
inline constexpr std::array<float, 256> kE4m3Values = [] {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code >> 3) & 15, mantissa = code & 7;
    float value = exponent == 0 ? static_cast<float>(mantissa) : static_cast<float>(8 + mantissa);
    for (int i = exponent == 0 ? 1 : exponent; i < 10; ++i) value /= 2;
    for (int i = 10; i < exponent; ++i) value *= 2;
    if ((code & 0x7f) == 0x7f) value = __builtin_nanf("");
    values[code] = code < 128 ? value : -value;
  }
  return values;
}();

// Twice the value of an e2m1 code, which is an integer: 0 1 2 3 4 6 8 12 and their negatives.
WANLITE_HOST_DEVICE int32_t E2m1Twice(uint32_t code) {
  const int32_t m = static_cast<int32_t>(code & 7);
  const int32_t twice = m + (m > 4) + (m > 5) + 3 * (m > 6);
  return (code & 8) != 0 ? -twice : twice;
}

// The e2m1 code nearest to value / divisor, ties to even, the largest for what is beyond 6.
WANLITE_HOST_DEVICE uint32_t E2m1Code(float value, float divisor) {
  const float ratio = value / divisor;
  const uint32_t bits = static_cast<uint32_t>(FloatBits(ratio));
  float r = FloatFromBits(static_cast<int32_t>(bits & 0x7fffffffu));
  r = r < kE2m1Limit ? r : kE2m1Limit;
  // Steps of 1/2 below 2, of 1 below 4, of 2 above.
  const float per_step = r < 2.0f ? 2.0f : (r < 4.0f ? 1.0f : 0.5f);
  const int32_t first = r < 2.0f ? 0 : (r < 4.0f ? 2 : 4);
  const int32_t steps = FloatBits(r * per_step + 12582912.0f) - 0x4b400000;
  return static_cast<uint32_t>(steps + first) | ((bits >> 31) << 3);
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_FP8_MATH_H_
