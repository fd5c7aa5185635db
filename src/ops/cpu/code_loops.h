// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The loops of CodeKernels. Each instruction set's file includes them within its own target, in a
// namespace of its own.

void Unpack4(const uint8_t* __restrict__ packed, int64_t bytes, uint8_t* __restrict__ codes) {
  for (int64_t i = 0; i < bytes; ++i) {
    codes[2 * i] = packed[i] & 15;
    codes[2 * i + 1] = packed[i] >> 4;
  }
}

void Subtract(const uint8_t* __restrict__ codes, int64_t n, int32_t zero,
              int8_t* __restrict__ out) {
  const uint8_t less = static_cast<uint8_t>(zero);
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<int8_t>(static_cast<uint8_t>(codes[i] - less));
  }
}

void Expand(const int8_t* __restrict__ values, int64_t n, int64_t group,
            const float* __restrict__ scales, float* __restrict__ out) {
  if (group == kNvfp4Group) {
    // A loop of known length, which becomes a few instructions.
    for (int64_t g = 0; g < n / kNvfp4Group; ++g) {
      for (int64_t i = 0; i < kNvfp4Group; ++i) {
        out[g * kNvfp4Group + i] = static_cast<float>(values[g * kNvfp4Group + i]) * scales[g];
      }
    }
    return;
  }
  for (int64_t g = 0; g < n / group; ++g) {
    const float scale = scales[g];
    for (int64_t i = g * group; i < (g + 1) * group; ++i) {
      out[i] = static_cast<float>(values[i]) * scale;
    }
  }
}

void AddScaled(const int32_t* __restrict__ values, const float* __restrict__ scale, float factor,
               int64_t n, float* __restrict__ sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<float>(values[i]) * (scale[i] * factor);
}

int32_t MaxMagnitude(const float* __restrict__ x, int64_t n) {
  int32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t bits = MagnitudeBits(x[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

void Extremes(const float* __restrict__ x, int64_t n, float* high, float* low) {
  float largest = 0.0f, smallest = 0.0f;
  for (int64_t i = 0; i < n; ++i) {
    largest = x[i] > largest ? x[i] : largest;
    smallest = x[i] < smallest ? x[i] : smallest;
  }
  *high = largest;
  *low = smallest;
}

void Pack4(const float* __restrict__ x, int64_t n, float divisor, int32_t low, int32_t high,
           int32_t zero, uint8_t* __restrict__ packed) {
  const float lowest = static_cast<float>(low), highest = static_cast<float>(high);
  for (int64_t i = 0; i < n / 2; ++i) {
    const int32_t even = RoundQuotient(x[2 * i], divisor, lowest, highest) + zero;
    const int32_t odd = RoundQuotient(x[2 * i + 1], divisor, lowest, highest) + zero;
    packed[i] = static_cast<uint8_t>(even | (odd << 4));
  }
}

void DecodeE4m3(const uint8_t* __restrict__ codes, int64_t n, float scale,
                float* __restrict__ out) {
  for (int64_t i = 0; i < n; ++i) out[i] = kE4m3Values[codes[i]] * scale;
}

void EncodeE4m3(const float* __restrict__ x, int64_t n, float divisor,
                uint8_t* __restrict__ codes) {
  for (int64_t i = 0; i < n; ++i) {
    float ratio = x[i] / divisor;
    ratio = ratio > kE4m3Limit ? kE4m3Limit : ratio;
    ratio = ratio < -kE4m3Limit ? -kE4m3Limit : ratio;
    codes[i] = E4m3Code(ratio);
  }
}

void UnpackE2m1(const uint8_t* __restrict__ packed, int64_t bytes, int8_t* __restrict__ twice) {
  for (int64_t i = 0; i < bytes; ++i) {
    twice[2 * i] = static_cast<int8_t>(E2m1Twice(packed[i] & 15u));
    twice[2 * i + 1] = static_cast<int8_t>(E2m1Twice(packed[i] >> 4));
  }
}

void QuantizeNvfp4(const float* __restrict__ x, int64_t n, float scale_2,
                   uint8_t* __restrict__ packed, uint8_t* __restrict__ scales) {
  for (int64_t g = 0; g < n / kNvfp4Group; ++g) {
    const float* group = x + g * kNvfp4Group;
    int32_t largest = 0;
    for (int64_t i = 0; i < kNvfp4Group; ++i) {
      const int32_t bits = MagnitudeBits(group[i]);
      largest = bits > largest ? bits : largest;
    }
    float ratio = FloatFromBits(largest) / kE2m1Limit / Int8Divisor(scale_2);
    ratio = ratio > kE4m3Limit ? kE4m3Limit : ratio;
    scales[g] = E4m3Code(ratio);
    const float divisor = Int8Divisor(kE4m3Values[scales[g]] * scale_2);
    uint32_t codes[kNvfp4Group];
    for (int64_t i = 0; i < kNvfp4Group; ++i) codes[i] = E2m1Code(group[i], divisor);
    for (int64_t i = 0; i < kNvfp4Group / 2; ++i) {
      packed[g * kNvfp4Group / 2 + i] =
          static_cast<uint8_t>(codes[2 * i] | (codes[2 * i + 1] << 4));
    }
  }
}
