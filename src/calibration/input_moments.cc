// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/calibration/input_moments.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"

namespace wanlite {

void AddMoment(at::Tensor& moment, const at::Tensor& rows, double weight) {
  const int64_t in = rows.size(1);
  if (!moment.defined()) moment = at::zeros({in, in}, at::kFloat);
  moment.addmm_(rows.t(), rows, /*beta=*/1, /*alpha=*/weight);
}

MomentTap::MomentTap(std::set<std::string> paths, Of of) : paths_(std::move(paths)), of_(of) {}

void MomentTap::OnInput(const LinearInfo& linear, const at::Tensor& x) {
  if (!paths_.contains(linear.path)) return;
  const at::NoGradGuard no_grad;
  const at::Tensor rows = InputRows(linear, x);
  Layer& layer = layers_[linear.path];
  layer.rows += weight_ * static_cast<double>(rows.size(0));
  if (of_ == Of::kPairs) {
    AddMoment(layer.sum, rows, weight_);
    return;
  }
  const at::Tensor sum = rows.to(at::kDouble).square_().sum(0).mul_(weight_);
  layer.sum = layer.sum.defined() ? layer.sum.add_(sum) : sum;
}

double MomentTap::Rows(const std::string& path) const {
  const auto found = layers_.find(path);
  return found != layers_.end() ? found->second.rows : 0;
}

absl::StatusOr<at::Tensor> MomentTap::Take(const std::string& path) {
  if (!(Rows(path) > 0)) return UnreachedError(path);
  return std::exchange(layers_.at(path).sum, at::Tensor());
}

absl::StatusOr<MomentFactor> MomentFactor::Make(at::Tensor moment, const MomentSettings& settings) {
  return CatchTorch([&]() -> absl::StatusOr<MomentFactor> {
    const at::NoGradGuard no_grad;
    at::Tensor diagonal = moment.diagonal();
    const double mean = diagonal.mean(at::kDouble).item<double>();
    if (mean == 0) return absl::InvalidArgumentError("its inputs are all zero in the samples");
    if (!std::isfinite(mean)) {
      return absl::InvalidArgumentError("the second moments of its inputs overflow fp32");
    }
    const int64_t n = moment.size(0);
    MomentFactor result;
    result.activation_order_ = settings.activation_order;
    const at::Tensor order = settings.activation_order
                                 ? diagonal.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true)
                                 : at::arange(n, at::kLong);
    result.reversed_ = order.flip(0).contiguous();
    result.unread_ = diagonal.eq(0).index_select(0, result.reversed_);
    diagonal.add_(settings.damping * mean);
    at::Tensor permuted = settings.activation_order
                              ? at::index(moment, {result.reversed_.unsqueeze(1), result.reversed_})
                              : moment.flip({0, 1});
    diagonal.reset();
    moment.reset();
    auto [factor, info] = at::linalg_cholesky_ex(permuted);
    permuted.reset();
    if (info.item<int>() != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the second moments of its inputs are not positive definite; a damping "
                       "above ",
                       settings.damping, " helps"));
    }
    result.diagonal_ = factor.diagonal().clone();
    result.factor_ = factor.div_(result.diagonal_);
    return result;
  });
}

}  // namespace wanlite
