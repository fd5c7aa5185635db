// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/w4a8_gemm.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "src/ops/cpu/aligned_buffer.h"

namespace wanlite::ops {

bool W4A8GroupFits(int64_t k, int64_t group) {
  return group > 0 && group % kW4A8GroupStep == 0 && k % group == 0;
}

int64_t PackedW4A8Bytes(CpuIsa isa, int64_t n, int64_t k, int64_t group) {
  const W4A8Kernels& kernels = W4A8KernelsFor(isa);
  return CeilDiv(n, kernels.tile_columns) * static_cast<int64_t>(kernels.panel_bytes(k, group));
}

void PackW4A8Weights(CpuIsa isa, int64_t n, int64_t k, int64_t group, const W4A8Rows& rows,
                     uint8_t* packed) {
  const W4A8Kernels& kernels = W4A8KernelsFor(isa);
  const int64_t columns = kernels.tile_columns;
  const int64_t groups = k / group;
  const int64_t panel_bytes = static_cast<int64_t>(kernels.panel_bytes(k, group));
  at::parallel_for(0, CeilDiv(n, columns), 8, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * columns;
      const W4A8Rows part{rows.codes + first * k / 2, rows.scales + first * groups,
                          rows.zeros == nullptr ? nullptr : rows.zeros + first * groups};
      kernels.pack_panel(part, std::min(columns, n - first), k, group,
                         packed + panel * panel_bytes);
    }
  });
}

void W4A8Gemm(CpuIsa isa, int64_t m, int64_t n, int64_t k, int64_t group, TokenReader read_token,
              const uint8_t* packed, FloatSumConsumer consume) {
  if (m == 0 || n == 0) return;
  const W4A8Kernels& kernels = W4A8KernelsFor(isa);
  const int64_t rows = kernels.tile_rows;
  const int64_t columns = kernels.tile_columns;
  const int64_t strip_bytes =
      std::max<int64_t>(64, static_cast<int64_t>(kernels.strip_bytes(k, group)));
  const int64_t strips = CeilDiv(m, rows);
  const AlignedBuffer tokens = NewAlignedBuffer(strips * strip_bytes);
  at::parallel_for(0, strips, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer plain = NewAlignedBuffer(rows * k);
    int8_t* values = reinterpret_cast<int8_t*>(plain.get());
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t first = strip * rows;
      const int64_t used = std::min(rows, m - first);
      for (int64_t r = 0; r < used; ++r) read_token(first + r, values + r * k);
      kernels.pack_strip(values, used, k, group, tokens.get() + strip * strip_bytes);
    }
  });

  const int64_t block_strips = std::max<int64_t>(1, kTokenBlockBytes / strip_bytes);
  const int64_t blocks = CeilDiv(strips, block_strips);
  const int64_t panels = CeilDiv(n, columns);
  const int64_t panel_bytes = static_cast<int64_t>(kernels.panel_bytes(k, group));
  const bool widens = kernels.wide_bytes != nullptr && strips >= kStripsToWiden;
  const int64_t wide_bytes = widens ? static_cast<int64_t>(kernels.wide_bytes(k, group)) : 0;
  const int64_t together = PanelsTogether(panels, std::max(panel_bytes, wide_bytes), blocks);
  const int64_t parts = CeilDiv(panels, together);
  at::parallel_for(0, blocks * parts, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer wide = NewAlignedBuffer(together * wide_bytes);
    alignas(64) float sums[kMaxW4A8Rows * kMaxW4A8Columns];
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first_strip = item / parts * block_strips;
      const int64_t last_strip = std::min(strips, first_strip + block_strips);
      const int64_t first_panel = item % parts * together;
      const int64_t used_panels = std::min(together, panels - first_panel);
      for (int64_t i = 0; widens && i < used_panels; ++i) {
        kernels.widen(packed + (first_panel + i) * panel_bytes, k, group,
                      wide.get() + i * wide_bytes);
      }
      for (int64_t strip = first_strip; strip < last_strip; ++strip) {
        const int64_t first_row = strip * rows;
        const int64_t used_rows = std::min(rows, m - first_row);
        const uint8_t* of_strip = tokens.get() + strip * strip_bytes;
        for (int64_t i = 0; i < used_panels; ++i) {
          if (widens) {
            kernels.multiply_wide(of_strip, used_rows, wide.get() + i * wide_bytes, k, group, sums);
          } else {
            kernels.multiply(of_strip, used_rows, packed + (first_panel + i) * panel_bytes, k,
                             group, sums);
          }
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
