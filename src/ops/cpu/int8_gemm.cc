// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/int8_gemm.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "src/ops/cpu/aligned_buffer.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {
int64_t PackedInt8Bytes(CpuIsa isa, int64_t n, int64_t k) {
  const Int8Kernels& kernels = Int8KernelsFor(isa);
  return CeilDiv(n, kernels.tile_columns) * static_cast<int64_t>(kernels.panel_bytes(k));
}

void PackInt8Weights(CpuIsa isa, int64_t n, int64_t k, const int8_t* rows, uint8_t* packed) {
  const Int8Kernels& kernels = Int8KernelsFor(isa);
  const int64_t columns = kernels.tile_columns;
  const int64_t panel_bytes = static_cast<int64_t>(kernels.panel_bytes(k));
  at::parallel_for(0, CeilDiv(n, columns), 8, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * columns;
      kernels.pack_panel(rows + first * k, k, std::min(columns, n - first), k,
                         packed + panel * panel_bytes);
    }
  });
}

void Int8Gemm(CpuIsa isa, int64_t m, int64_t n, int64_t k, TokenReader read_token,
              const Int8Weights& b, SumConsumer consume) {
  TORCH_CHECK(k <= kMaxInt8Features, "wanlite: an int8 product over ", k, " features, at most ",
              kMaxInt8Features, " are exact");
  if (m == 0 || n == 0) return;
  const Int8Kernels& kernels = Int8KernelsFor(isa);
  const int64_t rows = kernels.tile_rows;
  const int64_t columns = kernels.tile_columns;
  const int64_t strip_bytes = std::max<int64_t>(64, static_cast<int64_t>(kernels.strip_bytes(k)));
  const int64_t strips = CeilDiv(m, rows);

  const AlignedBuffer packed = NewAlignedBuffer(strips * strip_bytes);
  at::parallel_for(0, strips, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer tokens = NewAlignedBuffer(rows * k);
    int8_t* token = reinterpret_cast<int8_t*>(tokens.get());
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t first = strip * rows;
      const int64_t used = std::min(rows, m - first);
      for (int64_t r = 0; r < used; ++r) read_token(first + r, token + r * k);
      kernels.pack_strip(token, k, used, k, packed.get() + strip * strip_bytes);
    }
  });

  const int64_t block_strips = std::max<int64_t>(1, kTokenBlockBytes / strip_bytes);
  const int64_t blocks = CeilDiv(strips, block_strips);
  const int64_t panels = CeilDiv(n, columns);
  const int64_t panel_bytes = static_cast<int64_t>(kernels.panel_bytes(k));
  const bool widens = kernels.wide_bytes != nullptr && strips >= kStripsToWiden;
  const int64_t wide_bytes = widens ? static_cast<int64_t>(kernels.wide_bytes(k)) : 0;
  const int64_t group = PanelsTogether(panels, std::max(panel_bytes, wide_bytes), blocks);
  const int64_t groups = CeilDiv(panels, group);
  at::parallel_for(0, blocks * groups, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer own = NewAlignedBuffer(b.packed == nullptr ? group * panel_bytes : 0);
    const AlignedBuffer wide = NewAlignedBuffer(group * wide_bytes);
    alignas(64) int32_t sums[kMaxTileRows * kMaxTileColumns];
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first_strip = item / groups * block_strips;
      const int64_t last_strip = std::min(strips, first_strip + block_strips);
      const int64_t first_panel = item % groups * group;
      const int64_t used_panels = std::min(group, panels - first_panel);
      const uint8_t* of_group =
          b.packed != nullptr ? b.packed + first_panel * panel_bytes : own.get();
      for (int64_t i = 0; i < used_panels; ++i) {
        const int64_t column = (first_panel + i) * columns;
        if (b.packed == nullptr) {
          kernels.pack_panel(b.rows + column * k, k, std::min(columns, n - column), k,
                             own.get() + i * panel_bytes);
        }
        if (widens) kernels.widen(of_group + i * panel_bytes, k, wide.get() + i * wide_bytes);
      }
      for (int64_t strip = first_strip; strip < last_strip; ++strip) {
        const int64_t first_row = strip * rows;
        const int64_t used_rows = std::min(rows, m - first_row);
        const uint8_t* tokens = packed.get() + strip * strip_bytes;
        for (int64_t i = 0; i < used_panels; ++i) {
          if (widens) {
            kernels.multiply_wide(tokens, used_rows, wide.get() + i * wide_bytes, k, sums);
          } else {
            kernels.multiply(tokens, used_rows, of_group + i * panel_bytes, k, sums);
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
