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

void Expand(const int8_t* __restrict__ values, int64_t n, float scale, float* __restrict__ out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(values[i]) * scale;
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
