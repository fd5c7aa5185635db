// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How N:M sparse matrices are stored. Of each m neighbouring columns of a row n are kept: their
// values, and their places among the m, ascending. Places are packed in PlaceBits(m) bits each, the
// first in the lowest bits of the first byte; each row begins with a byte.
#ifndef WANLITE_SRC_OPS_SPARSE_MATH_H_
#define WANLITE_SRC_OPS_SPARSE_MATH_H_

#include <cstdint>

namespace wanlite::ops {

inline constexpr int64_t kMaxSparseGroup = 32;  // m

// The bits that tell 0 ... m - 1 apart.
inline constexpr int64_t PlaceBits(int64_t m) {
  int64_t bits = 1;
  while ((int64_t{1} << bits) < m) ++bits;
  return bits;
}

// Of a row with so many kept values.
inline constexpr int64_t PlaceBytes(int64_t kept, int64_t m) {
  return (kept * PlaceBits(m) + 7) / 8;
}

// The place of kept value `i` of a row of PlaceBytes() bytes.
inline int64_t PlaceAt(const uint8_t* places, int64_t bytes, int64_t i, int64_t bits) {
  const int64_t bit = i * bits;
  uint32_t window = places[bit / 8];
  if (bit / 8 + 1 < bytes) window |= uint32_t{places[bit / 8 + 1]} << 8;
  return (window >> (bit % 8)) & ((1u << bits) - 1);
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_SPARSE_MATH_H_
