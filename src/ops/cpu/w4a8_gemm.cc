// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/w4a8_gemm.h"

#include <algorithm>

#include "src/core/parallel_for.h"
#include "src/ops/cpu/tiled_product.h"

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
  ParallelFor(0, CeilDiv(n, columns), 8, [&](int64_t begin, int64_t end) {
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
  const TileSizes sizes{.rows = kernels.tile_rows,
                        .columns = kernels.tile_columns,
                        .strip_bytes = static_cast<int64_t>(kernels.strip_bytes(k, group)),
                        .panel_bytes = static_cast<int64_t>(kernels.panel_bytes(k, group)),
                        .wide_bytes = kernels.wide_bytes == nullptr
                                          ? 0
                                          : static_cast<int64_t>(kernels.wide_bytes(k, group))};
  TiledProduct<float, kMaxW4A8Rows * kMaxW4A8Columns>(
      m, n, k, sizes, /*packs_panels=*/false, read_token,
      [&](const int8_t* tokens, int64_t rows, uint8_t* strip) {
        kernels.pack_strip(tokens, rows, k, group, strip);
      },
      [&](int64_t first, int64_t, uint8_t*) { return packed + first * sizes.panel_bytes; },
      [&](const uint8_t* panel, uint8_t* wide) { kernels.widen(panel, k, group, wide); },
      [&](const uint8_t* strip, int64_t rows, const uint8_t* panel, bool is_wide, float* sums) {
        (is_wide ? kernels.multiply_wide : kernels.multiply)(strip, rows, panel, k, group, sums);
      },
      consume);
}

}  // namespace wanlite::ops
