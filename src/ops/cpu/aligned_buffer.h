// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Scratch memory of the CPU products.
#ifndef WANLITE_SRC_OPS_CPU_ALIGNED_BUFFER_H_
#define WANLITE_SRC_OPS_CPU_ALIGNED_BUFFER_H_

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace wanlite::ops {

struct FreeDeleter {
  void operator()(uint8_t* pointer) const { std::free(pointer); }
};
using AlignedBuffer = std::unique_ptr<uint8_t[], FreeDeleter>;

// Not initialised; 64 divides its address.
inline AlignedBuffer NewAlignedBuffer(int64_t bytes) {
  const size_t rounded = (static_cast<size_t>(std::max<int64_t>(bytes, 1)) + 63) / 64 * 64;
  AlignedBuffer buffer(static_cast<uint8_t*>(std::aligned_alloc(64, rounded)));
  TORCH_CHECK(buffer != nullptr, "wanlite: no memory for ", rounded,
              " bytes of a product's scratch");
  return buffer;
}

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_ALIGNED_BUFFER_H_
