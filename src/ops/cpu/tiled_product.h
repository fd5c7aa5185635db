// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How products of packed tokens and packed weights are blocked and shared among threads, whatever
// the kernels under them.
#ifndef WANLITE_SRC_OPS_CPU_TILED_PRODUCT_H_
#define WANLITE_SRC_OPS_CPU_TILED_PRODUCT_H_

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

#include "src/core/parallel_for.h"
#include "src/ops/cpu/aligned_buffer.h"

namespace wanlite::ops {

// Packed tokens that one panel is swept over before the next panel is read: they stay in the cache
// shared by the cores, while every panel passes through a core's own.
inline constexpr int64_t kTokenBlockBytes = int64_t{4} << 20;
// Panels that a strip meets one after the other: they stay in the core's own cache, the strip in
// its first level, and the sums of a token are written in longer runs.
inline constexpr int64_t kPanelGroupBytes = int64_t{256} << 10;
// Strips from which on it pays to widen a panel before them.
inline constexpr int64_t kStripsToWiden = 4;

// How many of `panels` panels of so many bytes a strip meets together: as the cache has room, but
// not so many that threads would have nothing to do.
inline int64_t PanelsTogether(int64_t panels, int64_t panel_bytes, int64_t blocks) {
  const int64_t fit = kPanelGroupBytes / std::max<int64_t>(1, panel_bytes);
  return std::clamp<int64_t>(std::min(fit, blocks * panels / (4 * at::get_num_threads())), 1,
                             panels);
}

// What the kernels of one format and instruction set say of a product over `k` features.
struct TileSizes {
  int64_t rows = 0, columns = 0;  // of a tile: tokens of a strip, weights of a panel
  int64_t strip_bytes = 0, panel_bytes = 0;
  int64_t wide_bytes = 0;  // of a widened panel; 0: panels are never widened
};

// sums[m, n], each tile's to consume(row, first_column, columns, sums). Called from several
// threads:
//   read_token(row, int8_t* out)                  token `row`, k values
//   pack_strip(const int8_t* tokens, rows, strip) tokens, k values each
//   panels(first, count, own)                     the panels from `first` on, one after the other;
//                                                 `own` has room for them when packs_panels
//   widen(panel, wide)
//   multiply(strip, rows, panel, is_wide, sums)   sums: [rows, sizes.columns]
template <typename Sum, int kMaxSums, typename ReadToken, typename PackStrip, typename Panels,
          typename Widen, typename Multiply, typename Consume>
void TiledProduct(int64_t m, int64_t n, int64_t k, const TileSizes& sizes, bool packs_panels,
                  ReadToken read_token, PackStrip pack_strip, Panels panels, Widen widen,
                  Multiply multiply, Consume consume) {
  const int64_t rows = sizes.rows, columns = sizes.columns, panel_bytes = sizes.panel_bytes;
  const int64_t strip_bytes = std::max<int64_t>(64, sizes.strip_bytes);
  const int64_t strips = CeilDiv(m, rows);
  const AlignedBuffer packed = NewAlignedBuffer(strips * strip_bytes);
  ParallelFor(0, strips, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer plain = NewAlignedBuffer(rows * k);
    int8_t* tokens = reinterpret_cast<int8_t*>(plain.get());
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t first = strip * rows;
      const int64_t used = std::min(rows, m - first);
      for (int64_t r = 0; r < used; ++r) read_token(first + r, tokens + r * k);
      pack_strip(tokens, used, packed.get() + strip * strip_bytes);
    }
  });

  const int64_t block_strips = std::max<int64_t>(1, kTokenBlockBytes / strip_bytes);
  const int64_t blocks = CeilDiv(strips, block_strips);
  const int64_t all_panels = CeilDiv(n, columns);
  const bool widens = sizes.wide_bytes != 0 && strips >= kStripsToWiden;
  const int64_t wide_bytes = widens ? sizes.wide_bytes : 0;
  const int64_t together = PanelsTogether(all_panels, std::max(panel_bytes, wide_bytes), blocks);
  const int64_t parts = CeilDiv(all_panels, together);
  ParallelFor(0, blocks * parts, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer own = NewAlignedBuffer(packs_panels ? together * panel_bytes : 0);
    const AlignedBuffer wide = NewAlignedBuffer(together * wide_bytes);
    alignas(64) Sum sums[kMaxSums];
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first_strip = item / parts * block_strips;
      const int64_t last_strip = std::min(strips, first_strip + block_strips);
      const int64_t first_panel = item % parts * together;
      const int64_t used_panels = std::min(together, all_panels - first_panel);
      const uint8_t* plain = panels(first_panel, used_panels, own.get());
      for (int64_t i = 0; widens && i < used_panels; ++i) {
        widen(plain + i * panel_bytes, wide.get() + i * wide_bytes);
      }
      const uint8_t* source = widens ? wide.get() : plain;
      const int64_t source_bytes = widens ? wide_bytes : panel_bytes;
      for (int64_t strip = first_strip; strip < last_strip; ++strip) {
        const int64_t first_row = strip * rows;
        const int64_t used_rows = std::min(rows, m - first_row);
        for (int64_t i = 0; i < used_panels; ++i) {
          multiply(packed.get() + strip * strip_bytes, used_rows, source + i * source_bytes, widens,
                   sums);
          const int64_t column = (first_panel + i) * columns;
          for (int64_t r = 0; r < used_rows; ++r) {
            consume(first_row + r, column, std::min(columns, n - column), sums + r * columns);
          }
        }
      }
    }
  });
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_TILED_PRODUCT_H_
