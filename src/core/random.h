// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Seeded streams of random numbers for everything that must come out the same on every machine and
// after every resume: a stream is made from a seed and from what it is for, never carried along.
#ifndef WANLITE_SRC_CORE_RANDOM_H_
#define WANLITE_SRC_CORE_RANDOM_H_

#include <cstdint>

#include "absl/types/span.h"

namespace wanlite {

// SplitMix64: the same numbers on every platform, unlike the distributions of <random>.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  double Uniform();          // [0, 1)
  int64_t Below(int64_t n);  // [0, n)

 private:
  uint64_t state_;
};

// One number out of several, for streams that must not overlap: MixSeed(seed, {step, index}).
uint64_t MixSeed(uint64_t seed, absl::Span<const uint64_t> parts);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_RANDOM_H_
