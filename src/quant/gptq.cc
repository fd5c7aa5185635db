// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/gptq.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"

namespace wanlite {
namespace {

// Columns whose errors reach later blocks in one product, and rows that are worked on together: a
// block of both stays in the second-level cache.
constexpr int64_t kBlockColumns = 128;
constexpr int64_t kChunkRows = 1024;

double SumOfSquares(const at::Tensor& x) { return x.square().sum(at::kDouble).item<double>(); }

// Some rows of a matrix on their way through the columns.
class RowRounder {
 public:
  RowRounder(const MomentFactor& moments, const WeightGrid& grid)
      : moments_(moments),
        grid_(grid),
        features_(moments.features()),
        group_(grid.group() > 0 ? grid.group() : features_),
        static_scales_(moments.activation_order() || group_ == features_),
        reversed_(moments.reversed().const_data_ptr<int64_t>()) {
    // A group that is fitted on the way lies in one block.
    block_ = static_scales_ || kBlockColumns % group_ == 0
                 ? kBlockColumns
                 : group_ * std::max<int64_t>(1, kBlockColumns / group_);
  }

  // rows: fp32 [n, in]; the result's rounded is of rows' shape. Adds to the errors.
  void Round(const at::Tensor& rows, GptqResult& result) {
    scales_.assign(static_cast<size_t>(features_ / group_), {});
    if (static_scales_) {
      for (size_t group = 0; group < scales_.size(); ++group) {
        scales_[group] = grid_.Fit(rows.narrow(1, static_cast<int64_t>(group) * group_, group_));
      }
    }
    // Transposed, so that a column is contiguous; the last to be rounded first.
    weight_ = rows.index_select(1, moments_.reversed()).t().contiguous();
    rounded_ = at::empty_like(weight_);
    errors_ = at::empty_like(weight_);
    for (int64_t end = features_; end > 0;) {
      // Blocks are counted from the first column to be rounded, as groups are.
      const int64_t begin = std::max<int64_t>(0, end - block_);
      RoundBlock(begin, end, result.output_error);
      end = begin;
    }
    result.rounded = at::empty_like(rows);
    result.rounded.index_copy_(1, moments_.reversed(), rounded_.t());
    std::vector<at::Tensor> scale, zero;
    for (const GroupScales& scales : scales_) {
      scale.push_back(scales.scale);
      if (scales.zero.defined()) zero.push_back(scales.zero);
    }
    result.scales = {at::cat(scale, 1), zero.empty() ? at::Tensor() : at::cat(zero, 1)};
    result.weight_error.squared_error += SumOfSquares(errors_);
    result.weight_error.squared_weight += SumOfSquares(rows);
  }

 private:
  void RoundBlock(int64_t begin, int64_t end, QuantizationError& output_error) {
    const at::Tensor& factor = moments_.factor();
    at::Tensor now = weight_.slice(0, begin, end).clone();  // [columns, rows]
    if (end < features_) {
      now.addmm_(factor.slice(0, end).slice(1, begin, end).t(), errors_.slice(0, end));
    }
    const at::Tensor inside = factor.slice(0, begin, end).slice(1, begin, end).contiguous();
    at::Tensor residual = at::empty_like(now);
    for (int64_t k = end; k-- > begin;) {
      const int64_t i = k - begin;
      const int64_t place = features_ - 1 - k;  // in the order of rounding
      if (!static_scales_ && place % group_ == 0) {
        scales_[static_cast<size_t>(place / group_)] =
            grid_.Fit(Ahead(now, inside, begin, i + 1 - group_, i + 1).t());
      }
      const at::Tensor column = now.select(0, i);
      const at::Tensor rounded =
          grid_.Round(column.unsqueeze(1), scales_[static_cast<size_t>(reversed_[k] / group_)])
              .squeeze(1);
      rounded_.select(0, k).copy_(rounded);
      at::Tensor left = residual.select(0, i), error = errors_.select(0, k);
      at::sub_out(left, column, rounded);
      at::sub_out(error, weight_.select(0, k), rounded);
      if (i > 0) now.slice(0, 0, i).addr_(inside.select(0, i).slice(0, 0, i), error);
    }
    // L is the factor with its columns scaled back, and nothing above its diagonal.
    const at::Tensor diagonal = moments_.diagonal().slice(0, begin, end).unsqueeze(1);
    output_error.squared_error += SumOfSquares(residual.mul_(diagonal));
    output_error.squared_weight += SumOfSquares(
        factor.slice(0, begin).slice(1, begin, end).t().mm(weight_.slice(0, begin)).mul_(diagonal));
  }

  // What the columns [from, to) of a block will be when they are reached, if none of them is
  // rounded badly: `now` holds what the errors before them ask of each, but a column that follows
  // what is asked of it has an error of its own, which the next ones answer.
  at::Tensor Ahead(const at::Tensor& now, const at::Tensor& inside, int64_t begin, int64_t from,
                   int64_t to) const {
    const at::Tensor weight = weight_.slice(0, begin + from, begin + to);
    const at::Tensor among = inside.slice(0, from, to).slice(1, from, to);
    return weight + at::linalg_solve_triangular(among.t(), now.slice(0, from, to) - weight,
                                                /*upper=*/true, /*left=*/true,
                                                /*unitriangular=*/true);
  }

  const MomentFactor& moments_;
  const WeightGrid& grid_;
  const int64_t features_, group_;
  const bool static_scales_;
  const int64_t* const reversed_;
  int64_t block_ = 0;
  at::Tensor weight_, rounded_, errors_;  // [in, rows], reversed
  std::vector<GroupScales> scales_;       // of each group, [rows, 1]
};

}  // namespace

absl::StatusOr<GptqResult> GptqRound(const at::Tensor& weight, const MomentFactor& moments,
                                     const WeightGrid& grid) {
  return CatchTorch([&]() -> absl::StatusOr<GptqResult> {
    const at::NoGradGuard no_grad;
    if (!weight.isfinite().all().item<bool>()) {
      return absl::InvalidArgumentError("the weight holds a NaN or an infinity");
    }
    GptqResult result;
    result.rounded = at::empty_like(weight, at::MemoryFormat::Contiguous);
    std::vector<at::Tensor> scale, zero;
    RowRounder rounder(moments, grid);
    for (int64_t begin = 0; begin < weight.size(0); begin += kChunkRows) {
      const int64_t end = std::min(weight.size(0), begin + kChunkRows);
      GptqResult part;
      rounder.Round(weight.slice(0, begin, end), part);
      result.rounded.slice(0, begin, end).copy_(part.rounded);
      scale.push_back(part.scales.scale);
      if (part.scales.zero.defined()) zero.push_back(part.scales.zero);
      for (auto [sum, more] : {std::pair{&result.weight_error, &part.weight_error},
                               {&result.output_error, &part.output_error}}) {
        sum->squared_error += more->squared_error;
        sum->squared_weight += more->squared_weight;
      }
    }
    result.scales = {at::cat(scale, 0), zero.empty() ? at::Tensor() : at::cat(zero, 0)};
    return result;
  });
}

int64_t GptqScratchBytes(int64_t out, int64_t in) {
  const int64_t chunk = std::min(kChunkRows, out) * in;
  // The moments and their factor; then the factor, the matrix in the basis, rounded and packed, and
  // chunks of it.
  return 4 * std::max(2 * in * in, in * in + 3 * out * in + 5 * chunk);
}

}  // namespace wanlite
