// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/sparse_gpt.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/checked_cast.h"
#include "src/pruning/magnitude.h"
#include "src/pruning/weight_masks.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Columns whose errors reach later ones in one product, and rows that are worked on together: a
// block of both stays in the second-level cache.
constexpr int64_t kGptColumns = 128;
constexpr int64_t kGptRows = 1024;

// A matrix on its way through the columns. Transposed and reversed, as the moments' factor is: a
// column is a row here, and the last is the first to be pruned.
class ColumnPruner {
 public:
  ColumnPruner(const at::Tensor& weight, const MomentFactor& moments,
               const SparseGptSettings& settings)
      : moments_(moments),
        settings_(settings),
        features_(weight.size(1)),
        rows_(weight.size(0)),
        weight_(weight.t().index_select(0, moments.reversed()).to(at::kFloat)),
        errors_(at::empty_like(weight_)) {}

  // Columns that are worked on together.
  int64_t block() const {
    if (settings_.m == 0) return settings_.columns;
    return settings_.m * std::max<int64_t>(1, kGptColumns / settings_.m);
  }

  void Prune(SparseGptResult& result) {
    for (int64_t begin = 0; begin < rows_; begin += kGptRows) {
      const at::Tensor outputs =
          moments_.factor().t().mm(weight_.slice(1, begin, begin + kGptRows));
      result.squared_output +=
          outputs.mul_(moments_.diagonal().unsqueeze(1)).square_().sum(at::kDouble).item<double>();
    }
    // Blocks are counted from the first column.
    for (int64_t end = features_; end > 0;) {
      const int64_t begin = std::max<int64_t>(0, end - block());
      if (settings_.m == 0) ChooseMask(begin, end);
      for (int64_t row = 0; row < rows_; row += kGptRows) {
        PruneBlock(begin, end, row, std::min(rows_, row + kGptRows), result);
      }
      end = begin;
    }
  }

  // The pruned matrix, [out, in] again.
  at::Tensor Result() const {
    at::Tensor result = at::empty({rows_, features_}, at::kFloat);
    result.t().index_copy_(0, moments_.reversed(), weight_);
    return result;
  }

 private:
  // [columns, rows] of a block: what the errors before it ask of each.
  at::Tensor Now(int64_t begin, int64_t end, int64_t row, int64_t row_end) const {
    at::Tensor now = weight_.slice(0, begin, end).slice(1, row, row_end).clone();
    if (end < features_) {
      now.addmm_(moments_.factor().slice(0, end).slice(1, begin, end).t(),
                 errors_.slice(0, end).slice(1, row, row_end));
    }
    return now;
  }

  // What columns will be when they are reached if none among them is pruned: `now` holds what the
  // errors before ask of each, but a column that follows what is asked of it has an error of its
  // own, which the next ones answer. among: the factor between them.
  static at::Tensor Ahead(const at::Tensor& weight, const at::Tensor& now,
                          const at::Tensor& among) {
    return weight + at::linalg_solve_triangular(among.t(), now - weight, /*upper=*/true,
                                                /*left=*/true, /*unitriangular=*/true);
  }

  // What it costs to remove each of these columns, zeros first, then what is never read: fp32
  // [columns, rows].
  at::Tensor Scores(const at::Tensor& ahead, const at::Tensor& weight, int64_t begin) const {
    const int64_t end = begin + ahead.size(0);
    at::Tensor scale = moments_.diagonal().slice(0, begin, end);
    scale = scale.masked_fill(moments_.unread().slice(0, begin, end), 0);
    return WeightScores(ahead.t(), scale).t().masked_fill(weight.eq(0), 0);
  }

  // keep_ of a whole block.
  void ChooseMask(int64_t begin, int64_t end) {
    const at::Tensor among = moments_.factor().slice(0, begin, end).slice(1, begin, end);
    at::Tensor scores = at::empty({end - begin, rows_}, at::kFloat);
    for (int64_t row = 0; row < rows_; row += kGptRows) {
      const int64_t row_end = std::min(rows_, row + kGptRows);
      const at::Tensor weight = weight_.slice(0, begin, end).slice(1, row, row_end);
      scores.slice(1, row, row_end)
          .copy_(Scores(Ahead(weight, Now(begin, end, row, row_end), among), weight, begin));
    }
    // Of all columns up to here the right number is gone.
    const auto zeros = [&](int64_t columns) {
      return CountToPrune(settings_.amount, columns * rows_);
    };
    const int64_t there = scores.eq(0).sum().item<int64_t>();
    const int64_t count = std::clamp<int64_t>(zeros(features_ - begin) - gone_, 0, scores.numel());
    gone_ += std::max(count, there);
    keep_ = KeepOfMatrix(scores, count);
  }

  void PruneBlock(int64_t begin, int64_t end, int64_t row, int64_t row_end,
                  SparseGptResult& result) {
    at::Tensor now = Now(begin, end, row, row_end);
    const at::Tensor original = weight_.slice(0, begin, end).slice(1, row, row_end);
    at::Tensor pruned = at::empty_like(now), residual = at::empty_like(now), keep;
    const at::Tensor inside =
        moments_.factor().slice(0, begin, end).slice(1, begin, end).contiguous();
    if (settings_.m == 0) keep = keep_.slice(1, row, row_end);
    if (settings_.m != 0) keep = at::empty(now.sizes(), at::kBool);
    for (int64_t i = end - begin; i-- > 0;) {
      if (settings_.m != 0 && (end - begin - 1 - i) % settings_.m == 0) {
        const int64_t from = i + 1 - settings_.m, to = i + 1;
        const at::Tensor weight = original.slice(0, from, to);
        const at::Tensor ahead =
            Ahead(weight, now.slice(0, from, to), inside.slice(0, from, to).slice(1, from, to));
        keep.slice(0, from, to)
            .copy_(KeepOfGroups(Scores(ahead, weight, begin + from).t(), settings_.n, settings_.m)
                       .t());
      }
      const at::Tensor column = now.select(0, i);
      // What is zero stays so, whatever is asked of it.
      const at::Tensor stays = keep.select(0, i).logical_and(original.select(0, i).ne(0));
      at::Tensor value = pruned.select(0, i), left = residual.select(0, i);
      at::Tensor error = errors_.select(0, begin + i).slice(0, row, row_end);
      value.copy_(column.masked_fill(stays.logical_not(), 0));
      at::sub_out(left, column, value);
      at::sub_out(error, original.select(0, i), value);
      if (i > 0) now.slice(0, 0, i).addr_(inside.select(0, i).slice(0, 0, i), error);
    }
    const at::Tensor diagonal = moments_.diagonal().slice(0, begin, end).unsqueeze(1);
    result.squared_error += residual.mul_(diagonal).square_().sum(at::kDouble).item<double>();
    at::Tensor(original).copy_(pruned);
  }

  const MomentFactor& moments_;
  const SparseGptSettings settings_;
  const int64_t features_, rows_;
  at::Tensor weight_;  // fp32 [in, out]: what is left of the columns that are done
  at::Tensor errors_;  // of these
  at::Tensor keep_;    // bool [columns, out] of a block
  int64_t gone_ = 0;   // zeros of the blocks before it
};

}  // namespace

absl::StatusOr<SparseGptResult> SparseGptPrune(const at::Tensor& weight,
                                               const MomentFactor& moments,
                                               const SparseGptSettings& settings) {
  return CatchTorch([&]() -> absl::StatusOr<SparseGptResult> {
    const at::NoGradGuard no_grad;
    TORCH_CHECK(!moments.activation_order(), "SparseGPT takes columns in their order");
    SparseGptResult result;
    ColumnPruner pruner(weight, moments, settings);
    pruner.Prune(result);
    WANLITE_ASSIGN_OR_RETURN(
        result.pruned, CheckedCast(pruner.Result(), weight.scalar_type(), "the pruned weight"));
    return result;
  });
}

int64_t SparseGptScratchBytes(int64_t out, int64_t in) {
  // The moments and their factor; then the factor, the matrix and its errors, the result twice.
  return 4 * std::max(2 * in * in, in * in + 4 * out * in);
}

}  // namespace wanlite
