// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/group_gemm.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/ops/cpu/code_kernels.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {
namespace {

// Packed tokens that stay in the cache shared by the cores while all panels pass by.
constexpr int64_t kGroupBlockBytes = int64_t{4} << 20;

at::Tensor NewBytes(int64_t bytes) { return at::empty({bytes}, at::dtype(at::kByte)); }

}  // namespace

void GroupGemm(CpuIsa isa, int64_t m, int64_t n, int64_t k, int64_t group, GroupReader read_token,
               GroupReader read_weight, GroupConsumer consume) {
  TORCH_CHECK(group > 0 && k % group == 0 && group <= kMaxInt8Features, "wanlite: groups of ",
              group, " in a product over ", k, " features");
  static_assert(kMaxGroupColumns >= kMaxTileColumns);
  if (m == 0 || n == 0) return;
  const Int8Kernels& kernels = Int8KernelsFor(isa);
  const CodeKernels& codes = CodeKernelsFor(isa);
  const int64_t rows = kernels.tile_rows;
  const int64_t columns = kernels.tile_columns;
  const int64_t groups = k / group;
  // Strips and panels are packed group by group, so that the tile kernel sums one group at a time.
  const int64_t piece = std::max<int64_t>(64, static_cast<int64_t>(kernels.strip_bytes(group)));
  const int64_t panel_piece = static_cast<int64_t>(kernels.panel_bytes(group));
  const int64_t strip_bytes = std::max<int64_t>(1, groups) * piece;
  const int64_t block_strips =
      std::min(at::divup(m, rows), std::max<int64_t>(1, kGroupBlockBytes / strip_bytes));
  const at::Tensor packed_bytes = NewBytes(block_strips * strip_bytes);
  uint8_t* packed = packed_bytes.mutable_data_ptr<uint8_t>();
  std::vector<float> token_scales(block_strips * rows * groups);

  for (int64_t block = 0; block < at::divup(m, rows); block += block_strips) {
    const int64_t strips = std::min(block_strips, at::divup(m, rows) - block);
    ParallelFor(0, strips, 1, [&](int64_t begin, int64_t end) {
      std::vector<int8_t> tokens(rows * k);
      for (int64_t strip = begin; strip < end; ++strip) {
        const int64_t first = (block + strip) * rows;
        const int64_t used = std::min(rows, m - first);
        for (int64_t r = 0; r < used; ++r) {
          read_token(first + r, tokens.data() + r * k,
                     token_scales.data() + (strip * rows + r) * groups);
        }
        for (int64_t g = 0; g < groups; ++g) {
          kernels.pack_strip(tokens.data() + g * group, k, used, group,
                             packed + strip * strip_bytes + g * piece);
        }
      }
    });
    ParallelFor(0, at::divup(n, columns), 1, [&](int64_t begin, int64_t end) {
      std::vector<int8_t> weights(columns * k);
      const at::Tensor panel_bytes = NewBytes(groups * panel_piece);
      uint8_t* panel = panel_bytes.mutable_data_ptr<uint8_t>();
      std::vector<float> scales(groups * columns);  // [groups, columns]
      std::vector<float> row_scales(groups);
      alignas(64) int32_t sums[kMaxTileRows * kMaxTileColumns];
      alignas(64) float totals[kMaxTileRows * kMaxTileColumns];
      for (int64_t item = begin; item < end; ++item) {
        const int64_t first_column = item * columns;
        const int64_t used_columns = std::min(columns, n - first_column);
        for (int64_t c = 0; c < used_columns; ++c) {
          read_weight(first_column + c, weights.data() + c * k, row_scales.data());
          for (int64_t g = 0; g < groups; ++g) scales[g * columns + c] = row_scales[g];
        }
        for (int64_t g = 0; g < groups; ++g) {
          kernels.pack_panel(weights.data() + g * group, k, used_columns, group,
                             panel + g * panel_piece);
        }
        for (int64_t strip = 0; strip < strips; ++strip) {
          const int64_t first_row = (block + strip) * rows;
          const int64_t used_rows = std::min(rows, m - first_row);
          std::fill_n(totals, used_rows * columns, 0.0f);
          for (int64_t g = 0; g < groups; ++g) {
            kernels.multiply(packed + strip * strip_bytes + g * piece, used_rows,
                             panel + g * panel_piece, group, sums);
            for (int64_t r = 0; r < used_rows; ++r) {
              codes.add_scaled(sums + r * columns, scales.data() + g * columns,
                               token_scales[(strip * rows + r) * groups + g], used_columns,
                               totals + r * columns);
            }
          }
          for (int64_t r = 0; r < used_rows; ++r) {
            consume(first_row + r, first_column, used_columns, totals + r * columns);
          }
        }
      }
    });
  }
}

at::Tensor GroupProduct(at::IntArrayRef shape, int64_t n, int64_t group, GroupReader read_token,
                        GroupReader read_weight, const float* token_scales,
                        const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  std::vector<int64_t> result_shape = shape.vec();
  result_shape.back() = n;
  at::Tensor result = at::empty(result_shape, at::dtype(dtype));
  const at::Tensor biases = BiasOrZeros(bias, n);
  const float* bias_data = biases.const_data_ptr<float>();
  const int64_t m = c10::multiply_integers(shape.slice(0, shape.size() - 1));
  DispatchFloating(dtype, [&](auto tag) {
    auto* result_data = result.mutable_data_ptr<decltype(tag)>();
    GroupGemm(ActiveCpuIsa(), m, n, shape.back(), group, read_token, read_weight,
              [&](int64_t row, int64_t first, int64_t columns, const float* sums) {
                float values[kMaxGroupColumns];
                const float scale = token_scales == nullptr ? 1.0f : token_scales[row];
                for (int64_t i = 0; i < columns; ++i) {
                  values[i] = sums[i] * scale + bias_data[first + i];
                }
                WriteRow(values, columns, result_data + row * n + first);
              });
  });
  return result;
}

}  // namespace wanlite::ops
