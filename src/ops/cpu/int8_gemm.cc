// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/int8_gemm.h"

#include <c10/util/Exception.h>

#include <algorithm>

#include "src/core/parallel_for.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/tiled_product.h"
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
  ParallelFor(0, CeilDiv(n, columns), 8, [&](int64_t begin, int64_t end) {
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
  const TileSizes sizes{.rows = kernels.tile_rows,
                        .columns = kernels.tile_columns,
                        .strip_bytes = static_cast<int64_t>(kernels.strip_bytes(k)),
                        .panel_bytes = static_cast<int64_t>(kernels.panel_bytes(k)),
                        .wide_bytes = kernels.wide_bytes == nullptr
                                          ? 0
                                          : static_cast<int64_t>(kernels.wide_bytes(k))};
  const auto panels = [&](int64_t first, int64_t count, uint8_t* own) -> const uint8_t* {
    if (b.packed != nullptr) return b.packed + first * sizes.panel_bytes;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t column = (first + i) * sizes.columns;
      kernels.pack_panel(b.rows + column * k, k, std::min(sizes.columns, n - column), k,
                         own + i * sizes.panel_bytes);
    }
    return own;
  };
  TiledProduct<int32_t, kMaxTileRows * kMaxTileColumns>(
      m, n, k, sizes, /*packs_panels=*/b.packed == nullptr, read_token,
      [&](const int8_t* tokens, int64_t rows, uint8_t* strip) {
        kernels.pack_strip(tokens, k, rows, k, strip);
      },
      panels, [&](const uint8_t* panel, uint8_t* wide) { kernels.widen(panel, k, wide); },
      [&](const uint8_t* strip, int64_t rows, const uint8_t* panel, bool is_wide, int32_t* sums) {
        (is_wide ? kernels.multiply_wide : kernels.multiply)(strip, rows, panel, k, sums);
      },
      consume);
}

}  // namespace wanlite::ops
