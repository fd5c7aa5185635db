// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The arithmetic of INT8 W8A8, shared by the CPU and CUDA kernels: plain IEEE steps in a fixed
// order (compiled without contraction into FMA), so that both give the same bits and the CPU
// kernels are the oracle of the GPU tests.
//
//   scale = max|x| / 127 over one token      q = round(x / scale), half to even, in [-127, 127]
//   y     = (sum of q * w) * (scale * weight_scale) + bias
#ifndef WANLITE_SRC_OPS_INT8_MATH_H_
#define WANLITE_SRC_OPS_INT8_MATH_H_

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define WANLITE_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define WANLITE_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace wanlite::ops {

inline constexpr int32_t kInt8Limit = 127;
// Bits of +infinity. The absolute value of a float has bits above it exactly when it is a NaN.
inline constexpr int32_t kInfinityBits = 0x7f800000;
// Largest number of features whose products of two int8 surely fit an int32 sum: 2^31 / (128 *
// 127), rounded down to a round number.
inline constexpr int64_t kMaxInt8Features = 131072;
// Largest rotation group of the kernels.
inline constexpr int64_t kMaxRotationGroup = 1024;

WANLITE_HOST_DEVICE int32_t FloatBits(float value) {
  int32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
WANLITE_HOST_DEVICE float FloatFromBits(int32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Bits of |value|. As integers they are ordered like the magnitudes, infinity and NaN on top, so an
// integer maximum finds max|x| and never loses a NaN.
WANLITE_HOST_DEVICE int32_t MagnitudeBits(float value) { return FloatBits(value) & 0x7fffffff; }

// The scale of a token from the bits of its max|x|: 0 for a token of zeros, NaN when it holds an
// infinity or a NaN. Never a denormal, so that dividing by it is safe.
WANLITE_HOST_DEVICE float Int8Scale(int32_t max_bits) {
  if (max_bits >= kInfinityBits) return FloatFromBits(0x7fc00000);
  if (max_bits == 0) return 0.0f;
  const float scale = FloatFromBits(max_bits) / 127.0f;
  const float smallest_normal = FloatFromBits(0x00800000);
  return scale < smallest_normal ? smallest_normal : scale;
}

// What values are divided by: the scale, or 1 where the scale says zero or NaN.
WANLITE_HOST_DEVICE float Int8Divisor(float scale) { return scale > 0.0f ? scale : 1.0f; }

// round(value / divisor), ties to even, clamped to [-127, 127]; -127 for a NaN (the scale of its
// token is NaN, so the value is never used as a number). Adding 1.5 * 2^23 leaves the rounded
// integer in the low bits of the sum, on every machine alike.
WANLITE_HOST_DEVICE int32_t QuantizeInt8(float value, float divisor) {
  float ratio = value / divisor;
  ratio = ratio > -127.0f ? ratio : -127.0f;
  ratio = ratio < 127.0f ? ratio : 127.0f;
  return FloatBits(ratio + 12582912.0f) - 0x4b400000;
}

// One output value from its integer sum.
WANLITE_HOST_DEVICE float DequantizeSum(int32_t sum, float scale, float weight_scale, float bias) {
  return static_cast<float>(sum) * (scale * weight_scale) + bias;
}

// 2^x for x in [-126, 126], to 2e-7 of it. The integer part goes into the exponent, the rest, at
// most a half, through a polynomial (Cephes' exp2f).
WANLITE_HOST_DEVICE float Exp2(float x) {
  const float rounded = x + 12582912.0f;
  const float rest = x - (rounded - 12582912.0f);
  float y = 1.535336188319500e-4f;
  y = y * rest + 1.339887440266574e-3f;
  y = y * rest + 9.618437357674640e-3f;
  y = y * rest + 5.550332471162809e-2f;
  y = y * rest + 2.402264791363012e-1f;
  y = y * rest + 6.931472028550421e-1f;
  y = y * rest + 1.0f;
  return FloatFromBits(FloatBits(y) + (FloatBits(rounded) - 0x4b400000) * (1 << 23));
}

// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as x times the logistic function of twice that
// argument: one exponential, and no cancellation where the result is small. Clamped as an integer:
// of comparisons of floats the compiler would make several divisions, some of denormals.
WANLITE_HOST_DEVICE float GeluTanh(float x) {
  // 2 sqrt(2 / pi) log2(e).
  const float exponent = 2.302208198f * (x + 0.044715f * (x * x * x));
  const int32_t bits = MagnitudeBits(exponent);
  const int32_t largest = 0x42fc0000;  // of 126
  const float below_one = Exp2(-FloatFromBits(bits < largest ? bits : largest));
  const float numerator = FloatBits(exponent) < 0 ? below_one : 1.0f;
  return x * numerator / (1.0f + below_one);
}

// One radix-4 step of the ConvRot rotation: the regular Hadamard matrix 1/2 (1 1 1 -1; 1 1 -1 1;
// 1 -1 1 1; -1 1 1 1), symmetric and orthogonal. Row i is half the sum of all minus element 3 - i.
WANLITE_HOST_DEVICE void Hadamard4(float& a, float& b, float& c, float& d) {
  const float half = 0.5f * ((a + b) + (c + d));
  const float new_a = half - d;
  const float new_b = half - c;
  const float new_c = half - b;
  const float new_d = half - a;
  a = new_a;
  b = new_b;
  c = new_c;
  d = new_d;
}

// First of the four elements that butterfly number `index` of the stage with distance `stride`, a
// power of 4, joins; the others follow at multiples of `stride`. Each element of a run of 4 * count
// elements belongs to exactly one of its `count` butterflies.
WANLITE_HOST_DEVICE int32_t HadamardBase(int32_t index, int32_t stride) {
  return (index & ~(stride - 1)) * 4 + (index & (stride - 1));
}

// True for 4, 16, 64, 256 and 1024.
WANLITE_HOST_DEVICE bool IsRotationGroup(int64_t group) {
  return group == 4 || group == 16 || group == 64 || group == 256 || group == 1024;
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_INT8_MATH_H_
