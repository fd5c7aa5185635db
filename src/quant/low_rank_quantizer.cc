// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/low_rank_quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "src/proto/quant.pb.h"
#include "src/quant/make_weight.h"
#include "src/quant/randomized_svd.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

double SumOfSquares(const at::Tensor& t) { return t.square().sum(at::kDouble).item<double>(); }

// Over their geometric mean, within [low, high]; 1 where a feature of weights or inputs is zero.
at::Tensor Normalized(const at::Tensor& divisor, double low, double high) {
  const at::Tensor usable = divisor.isfinite().logical_and(divisor > 0);
  const at::Tensor logs = at::where(usable, divisor, at::ones_like(divisor)).log();
  const at::Tensor count = usable.sum().clamp_min(1);
  const at::Tensor mean = at::where(usable, logs, at::zeros_like(logs)).sum() / count;
  return at::where(usable, (logs - mean).exp().clamp(low, high), at::ones_like(divisor));
}

class LowRankQuantizer : public WeightQuantizer {
 public:
  LowRankQuantizer(std::unique_ptr<WeightQuantizer> format, const LowRankBranch& branch)
      : format_(std::move(format)),
        rank_(branch.rank()),
        smoothing_(branch.smoothing()),
        smooth_by_(branch.smooth_by()),
        rounds_(branch.rounds()) {}

  std::string name() const override { return absl::StrCat(format_->name(), " + low rank ", rank_); }
  bool needs_statistics() const override {
    return smooth_by_ == LowRankBranch::INPUTS || format_->needs_statistics();
  }
  absl::Status CheckShape(int64_t out_features, int64_t in_features) const override {
    if (rank_ >= std::min(out_features, in_features)) {
      return absl::InvalidArgumentError(absl::StrCat("a branch of rank ", rank_,
                                                     " is no smaller than the matrix [",
                                                     out_features, ", ", in_features, "] itself"));
    }
    return format_->CheckShape(out_features, in_features);
  }

  std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const override {
    const nn::HollowGuard hollow;
    absl::StatusOr<std::unique_ptr<LinearWeight>> weight =
        Assemble(format_->Hollow(out_features, in_features), nn::NewTensor({in_features}),
                 nn::NewTensor({rank_, in_features}, at::kBFloat16),
                 nn::NewTensor({out_features, rank_}, at::kBFloat16));
    TORCH_CHECK(weight.ok(), std::string(weight.status().message()));
    return *std::move(weight);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(const at::Tensor& dense,
                                                         const InputStatistics* statistics,
                                                         QuantizationError* error) const override {
    if (!dense.defined() || dense.dim() != 2 || !dense.is_floating_point()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a low-rank branch is split off a floating-point matrix [out, in], not ",
                       dense.defined() ? TensorText(dense) : "nothing"));
    }
    if (smooth_by_ == LowRankBranch::INPUTS && statistics == nullptr) {
      return absl::FailedPreconditionError(
          "low_rank.smooth_by: INPUTS needs recorded inputs of the layer");
    }
    WANLITE_RETURN_IF_ERROR(CheckShape(dense.size(0), dense.size(1)));
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      const at::Tensor weight = dense.detach().to(at::kFloat);
      WANLITE_RETURN_IF_ERROR(CheckRows("a low-rank branch", dense, weight.isfinite().all(1)));
      const at::Tensor divisor = Divisor(weight, statistics);
      return Split(weight, divisor, statistics, error);
    });
  }

  std::vector<std::string> Notes(
      const std::vector<std::pair<int64_t, int64_t>>& shapes) const override {
    return format_->Notes(shapes);
  }
  std::string simulation() const override { return format_->simulation(); }

 private:
  // fp32 [in]
  at::Tensor Divisor(const at::Tensor& weight, const InputStatistics* statistics) const {
    if (smooth_by_ == LowRankBranch::NOTHING) return at::ones({weight.size(1)});
    const at::Tensor column = weight.abs().amax(0);
    if (smooth_by_ == LowRankBranch::WEIGHTS) {
      return Normalized(column.pow(smoothing_ - 1), 0.25, 4);
    }
    return Normalized(statistics->channel_max.pow(smoothing_) * column.pow(smoothing_ - 1),
                      1.0 / 32, 32);
  }

  // Of the round that leaves least of the smoothed matrix.
  absl::StatusOr<std::unique_ptr<LinearWeight>> Split(const at::Tensor& weight,
                                                      const at::Tensor& divisor,
                                                      const InputStatistics* statistics,
                                                      QuantizationError* error) const {
    const at::Tensor smoothed = weight * divisor;
    const InputStatistics divided = Divided(statistics, divisor);
    double least = std::numeric_limits<double>::infinity();
    std::unique_ptr<LinearWeight> best;
    at::Tensor best_a, best_b;
    at::Tensor wanted = smoothed;  // of the branch
    for (int64_t round = 0; round <= rounds_; ++round) {
      const LowRankFactors svd = RandomizedSvd(wanted, rank_);
      const at::Tensor root = svd.singular_values.sqrt();
      // As they are kept: what rounding them loses is left to the codes. A reads the input as it
      // is.
      const at::Tensor a = (svd.right * root.unsqueeze(1) / divisor).to(at::kBFloat16);
      const at::Tensor b = (svd.left * root).to(at::kBFloat16);
      const at::Tensor rest =
          at::addmm(smoothed, b.to(at::kFloat), a.to(at::kFloat) * divisor, 1, -1);
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> codes,
                               format_->Quantize(rest, statistics == nullptr ? nullptr : &divided));
      const at::Tensor kept = codes->Dequantize();
      const double left = SumOfSquares(rest - kept);
      if (best == nullptr || left < least) {
        least = left;
        best = std::move(codes);
        best_a = a;
        best_b = b;
      }
      if (round < rounds_) wanted = smoothed - kept;
    }
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> whole,
                             Assemble(std::move(best), divisor, best_a, best_b));
    if (error != nullptr) {
      error->squared_weight = SumOfSquares(weight);
      error->squared_error = SumOfSquares(weight - whole->Dequantize());
    }
    return whole;
  }

  static InputStatistics Divided(const InputStatistics* statistics, const at::Tensor& divisor) {
    if (statistics == nullptr) return {};
    InputStatistics divided;
    divided.channel_max = statistics->channel_max / divisor;
    divided.channel_mean = statistics->channel_mean / divisor;
    divided.range = divided.channel_max.max().item<double>();
    return divided;
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Assemble(std::unique_ptr<LinearWeight> codes,
                                                         const at::Tensor& divisor,
                                                         const at::Tensor& a,
                                                         const at::Tensor& b) const {
    if (smooth_by_ != LowRankBranch::NOTHING) {
      WANLITE_ASSIGN_OR_RETURN(codes, MakeSmoothedWeight(std::move(codes), divisor));
    }
    return MakeLowRankWeight(std::move(codes), a, b, static_cast<double>(rank_),
                             LowRankUse::kPartOfFormat);
  }

  const std::unique_ptr<WeightQuantizer> format_;
  const int64_t rank_;
  const double smoothing_;
  const LowRankBranch::SmoothBy smooth_by_;
  const int64_t rounds_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeLowRankQuantizer(
    std::unique_ptr<WeightQuantizer> format, LowRankBranch& branch) {
  if (branch.rank() < 1) {
    return OptionError("low_rank.rank", absl::StrCat(branch.rank(), " is not at least 1"));
  }
  if (!branch.has_smoothing()) branch.set_smoothing(0.5);
  if (!(branch.smoothing() >= 0 && branch.smoothing() <= 1)) {
    return OptionError("low_rank.smoothing", absl::StrCat(branch.smoothing(), " is not in [0, 1]"));
  }
  if (!LowRankBranch::SmoothBy_IsValid(branch.smooth_by())) {
    return OptionError("low_rank.smooth_by", absl::StrCat(static_cast<int>(branch.smooth_by()),
                                                          " is not WEIGHTS, INPUTS or NOTHING"));
  }
  constexpr int64_t kMaxRounds = 100;
  if (!branch.has_rounds()) branch.set_rounds(5);
  if (branch.rounds() < 0 || branch.rounds() > kMaxRounds) {
    return OptionError("low_rank.rounds",
                       absl::StrCat(branch.rounds(), " is not in [0, ", kMaxRounds, "]"));
  }
  return std::make_unique<LowRankQuantizer>(std::move(format), branch);
}

}  // namespace wanlite
