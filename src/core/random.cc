// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/random.h"

namespace wanlite {

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

double Random::Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

int64_t Random::Below(int64_t n) {
  return static_cast<int64_t>(Uniform() * static_cast<double>(n));
}

uint64_t MixSeed(uint64_t seed, absl::Span<const uint64_t> parts) {
  uint64_t mixed = Random(seed).Next();
  for (uint64_t part : parts) mixed = Random(mixed ^ Random(part + 1).Next()).Next();
  return mixed;
}

}  // namespace wanlite
