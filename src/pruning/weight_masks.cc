// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/weight_masks.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/pruning/magnitude.h"

namespace wanlite {
namespace {

// Weights that a thread takes at once, at least.
constexpr int64_t kMaskGrain = int64_t{1} << 15;

// Calls row(const float* scores, bool* keep) for each row.
template <typename RowFn>
at::Tensor MaskByRow(const at::Tensor& scores, RowFn row) {
  const at::Tensor dense = scores.contiguous();
  at::Tensor keep = at::empty(dense.sizes(), at::kBool);
  const int64_t columns = dense.size(1);
  const float* in = dense.const_data_ptr<float>();
  bool* out = keep.mutable_data_ptr<bool>();
  ParallelFor(0, dense.size(0), std::max<int64_t>(1, kMaskGrain / std::max<int64_t>(1, columns)),
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) row(in + i * columns, out + i * columns);
              });
  return keep;
}

}  // namespace

at::Tensor WeightScores(const at::Tensor& weight, const at::Tensor& scale) {
  const at::NoGradGuard no_grad;
  at::Tensor scores = weight.detach().to(at::kFloat).abs();
  if (scale.defined()) scores.mul_(scale);
  const at::Tensor forgotten = scores.eq(0).logical_and_(weight.detach().ne(0));
  return scores.masked_fill_(forgotten, std::numeric_limits<float>::denorm_min());
}

at::Tensor ZeroWhereNotKept(const at::Tensor& matrix, const at::Tensor& keep, int64_t* zeros) {
  const at::Tensor from = matrix.detach().contiguous(), kept = keep.contiguous();
  at::Tensor pruned = at::empty(from.sizes(), from.options());
  const bool* mask = kept.const_data_ptr<bool>();
  std::atomic<int64_t> found{0};
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, from.scalar_type(), "ZeroWhereNotKept", [&] {
        const scalar_t* in = from.const_data_ptr<scalar_t>();
        scalar_t* out = pruned.mutable_data_ptr<scalar_t>();
        ParallelFor(0, from.numel(), kMaskGrain, [&](int64_t begin, int64_t end) {
          int64_t own = 0;
          for (int64_t i = begin; i < end; ++i) {
            out[i] = mask[i] ? in[i] : scalar_t(0);
            own += out[i] == scalar_t(0);
          }
          found += own;
        });
      });
  *zeros = found;
  return pruned;
}

at::Tensor KeepOfMatrix(const at::Tensor& scores, int64_t count) {
  const std::optional<PruneRule> rule = RuleForSmallest(scores, count);
  TORCH_CHECK_VALUE(rule.has_value(), "a score is a NaN");
  return KeepLargest(scores, *rule);
}

at::Tensor KeepOfRows(const at::Tensor& scores, int64_t count) {
  const int64_t columns = scores.size(1);
  TORCH_CHECK(count >= 0 && count <= columns, "cannot remove ", count, " of ", columns);
  return MaskByRow(scores, [&](const float* row, bool* keep) {
    std::fill_n(keep, columns, true);
    if (count == 0) return;
    thread_local std::vector<float> sorted;
    sorted.assign(row, row + columns);
    std::nth_element(sorted.begin(), sorted.begin() + count - 1, sorted.end());
    const float threshold = sorted[static_cast<size_t>(count - 1)];
    int64_t ties =
        count - std::count_if(row, row + columns, [&](float s) { return s < threshold; });
    for (int64_t i = 0; i < columns; ++i) {
      keep[i] = !(row[i] < threshold || (row[i] == threshold && ties-- > 0));
    }
  });
}

at::Tensor KeepOfGroups(const at::Tensor& scores, int64_t n, int64_t m) {
  const int64_t columns = scores.size(1);
  TORCH_CHECK(0 < n && n < m && columns % m == 0, n, ":", m, " of ", columns, " columns");
  return MaskByRow(scores, [&](const float* row, bool* keep) {
    for (int64_t group = 0; group < columns; group += m) {
      for (int64_t i = 0; i < m; ++i) {
        // What ranks above it; of equal ones those that come later.
        int64_t above = 0;
        for (int64_t j = 0; j < m; ++j) {
          above += row[group + j] > row[group + i] || (j > i && row[group + j] == row[group + i]);
        }
        keep[group + i] = above < n;
      }
    }
  });
}

}  // namespace wanlite
