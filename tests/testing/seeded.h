// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pseudo-random tensors of tests/golden/seeded.py, bit by bit.
#ifndef WANLITE_TESTS_TESTING_SEEDED_H_
#define WANLITE_TESTS_TESTING_SEEDED_H_

#include <cmath>
#include <cstdint>
#include <string>

#include "src/core/libtorch.h"

namespace wanlite::testing {

// fp32, uniform in [-1, 1).
inline at::Tensor SeededUniform(const std::string& name, at::IntArrayRef shape) {
  uint64_t seed = 0xCBF29CE484222325u;
  for (const unsigned char byte : name) seed = (seed ^ byte) * 0x100000001B3u;
  at::Tensor out = at::empty(shape, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) {
    uint64_t x = seed + static_cast<uint64_t>(i + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    values[i] = static_cast<float>(x >> 40) * 0x1p-23f - 1.0f;
  }
  return out;
}

// fp32 value of a parameter, by its name in the reference.
inline at::Tensor SeededParameter(const std::string& name, at::IntArrayRef shape) {
  const at::Tensor values = SeededUniform(name, shape);
  const auto ends_with = [&name](const std::string& tail) {
    return name.size() >= tail.size() &&
           name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
  };
  int64_t sizes = 0, fan_in = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    sizes += shape[i] != 1;
    if (i > 0) fan_in *= shape[i];
  }
  if (ends_with("bias")) return values * at::scalar_tensor(0.1f);
  if (sizes <= 1 && !ends_with("conv_out.weight")) {
    return values * at::scalar_tensor(0.25f) + at::scalar_tensor(1.0f);
  }
  return values *
         at::scalar_tensor(static_cast<float>(std::sqrt(3.0 / static_cast<double>(fan_in))));
}

// |a - b|_2 / |b|_2 in double.
inline double RelativeL2(const at::Tensor& a, const at::Tensor& b) {
  TORCH_CHECK(a.sizes() == b.sizes(), "sizes differ: ", a.sizes(), " and ", b.sizes());
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return (x - y).norm().item<double>() / y.norm().item<double>();
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_SEEDED_H_
