// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Scratch memory of the CPU products, and how they are blocked.
#ifndef WANLITE_SRC_OPS_CPU_ALIGNED_BUFFER_H_
#define WANLITE_SRC_OPS_CPU_ALIGNED_BUFFER_H_

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace wanlite::ops {

// Packed tokens that one panel is swept over before the next panel is read: they stay in the cache
// shared by the cores, while every panel passes through a core's own.
inline constexpr int64_t kTokenBlockBytes = int64_t{4} << 20;
// Panels that a strip meets one after the other: they stay in the core's own cache, the strip in
// its first level, and the sums of a token are written in longer runs.
inline constexpr int64_t kPanelGroupBytes = int64_t{256} << 10;
// Strips from which on it pays to widen a panel before them.
inline constexpr int64_t kStripsToWiden = 4;

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

// How many of `panels` panels of so many bytes a strip meets together: as the cache has room, but
// not so many that threads would have nothing to do.
inline int64_t PanelsTogether(int64_t panels, int64_t panel_bytes, int64_t blocks) {
  const int64_t fit = kPanelGroupBytes / std::max<int64_t>(1, panel_bytes);
  return std::clamp<int64_t>(std::min(fit, blocks * panels / (4 * at::get_num_threads())), 1,
                             panels);
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_ALIGNED_BUFFER_H_
