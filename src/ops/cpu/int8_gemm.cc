// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/int8_gemm.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {
namespace {

// Packed tokens that one panel is swept over before the next panel is packed: they stay in the
// cache shared by the cores, while every panel passes through a core's own.
constexpr int64_t kTokenBlockBytes = int64_t{4} << 20;
// Strips from which on it pays to widen a panel before them.
constexpr int64_t kStripsToWiden = 4;

struct FreeDeleter {
  void operator()(uint8_t* pointer) const { std::free(pointer); }
};
using AlignedBuffer = std::unique_ptr<uint8_t[], FreeDeleter>;

AlignedBuffer NewBuffer(int64_t bytes) {
  const size_t rounded = (static_cast<size_t>(std::max<int64_t>(bytes, 1)) + 63) / 64 * 64;
  AlignedBuffer buffer(static_cast<uint8_t*>(std::aligned_alloc(64, rounded)));
  TORCH_CHECK(buffer != nullptr, "wanlite::int8_linear: no memory for ", rounded,
              " bytes of packed activations");
  return buffer;
}

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

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

  const AlignedBuffer packed = NewBuffer(strips * strip_bytes);
  at::parallel_for(0, strips, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer tokens = NewBuffer(rows * k);
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
  at::parallel_for(0, blocks * panels, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer own = NewBuffer(b.packed == nullptr ? panel_bytes : 0);
    const AlignedBuffer wide = NewBuffer(widens ? static_cast<int64_t>(kernels.wide_bytes(k)) : 0);
    alignas(64) int32_t sums[kMaxTileRows * kMaxTileColumns];
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first_strip = item / panels * block_strips;
      const int64_t last_strip = std::min(strips, first_strip + block_strips);
      const int64_t index = item % panels;
      const int64_t first_column = index * columns;
      const int64_t used_columns = std::min(columns, n - first_column);
      const uint8_t* panel = own.get();
      if (b.packed != nullptr) {
        panel = b.packed + index * panel_bytes;
      } else {
        kernels.pack_panel(b.rows + first_column * k, k, used_columns, k, own.get());
      }
      if (widens) kernels.widen(panel, k, wide.get());
      for (int64_t strip = first_strip; strip < last_strip; ++strip) {
        const int64_t first_row = strip * rows;
        const int64_t used_rows = std::min(rows, m - first_row);
        const uint8_t* tokens = packed.get() + strip * strip_bytes;
        if (widens) {
          kernels.multiply_wide(tokens, used_rows, wide.get(), k, sums);
        } else {
          kernels.multiply(tokens, used_rows, panel, k, sums);
        }
        for (int64_t r = 0; r < used_rows; ++r) {
          consume(first_row + r, first_column, used_columns, sums + r * columns);
        }
      }
    }
  });
}

}  // namespace wanlite::ops
