// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/least_squares.h"

#include <algorithm>
#include <cmath>

#include "src/core/libtorch.h"

namespace wanlite {
namespace {

constexpr int kMaxSteps = 100;
constexpr double kGradientLeft = 1e-4;

// Of (x^T x + ridge): the change D of W with (D A)_ij = right_ij where the mask is, and D = 0
// elsewhere. All rows at once, each by steps of its own length.
at::Tensor MaskedSolve(const at::Tensor& matrix, const at::Tensor& right, const at::Tensor& mask) {
  const at::Tensor diagonal = matrix.diagonal();
  const auto masked = [&](const at::Tensor& rows) {
    return rows.masked_fill(mask.logical_not(), 0);
  };
  const auto dot = [](const at::Tensor& a, const at::Tensor& b) {
    return (a * b).sum(1, /*keepdim=*/true);
  };
  at::Tensor solution = at::zeros_like(right);
  at::Tensor residual = masked(right);
  at::Tensor scaled = residual / diagonal;
  at::Tensor direction = scaled.clone();
  at::Tensor product = dot(residual, scaled);
  const double begin = residual.norm().item<double>();
  for (int step = 0; step < kMaxSteps; ++step) {
    if (residual.norm().item<double>() <= kGradientLeft * begin) break;
    const at::Tensor image = masked(direction.matmul(matrix));
    const at::Tensor curvature = dot(direction, image);
    // A row that is solved stays as it is.
    const at::Tensor length = at::where(curvature > 0, product / curvature, 0);
    solution += length * direction;
    residual -= length * image;
    scaled = residual / diagonal;
    const at::Tensor next = dot(residual, scaled);
    direction = scaled + at::where(product > 0, next / product, 0) * direction;
    product = next;
  }
  return solution;
}

}  // namespace

FitSums::FitSums(int64_t in, int64_t out, bool bias) : bias_(bias) {
  const int64_t k = in + (bias ? 1 : 0);
  inputs_ = at::zeros({k, k}, at::kFloat);
  products_ = at::zeros({out, k}, at::kFloat);
}

void FitSums::Add(const at::Tensor& x, const at::Tensor& y, double weight) {
  TORCH_CHECK_VALUE(x.size(0) == y.size(0), "the layer reads ", x.size(0),
                    " rows here, the teacher's ", y.size(0));
  const at::Tensor rows = bias_ ? at::cat({x, at::ones({x.size(0), 1}, at::kFloat)}, 1) : x;
  inputs_.addmm_(rows.t(), rows, 1, weight);
  products_.addmm_(y.t(), rows, 1, weight);
  outputs_ += weight * y.square().sum(at::kDouble).item<double>();
  rows_ += weight * static_cast<double>(x.size(0));
}

double FitSums::RelativeError(const at::Tensor& weight) const {
  if (outputs_ <= 0) return 0;
  const double square = (weight.matmul(inputs_) * weight).sum(at::kDouble).item<double>();
  const double mixed = (products_ * weight).sum(at::kDouble).item<double>();
  return std::sqrt(std::max(0.0, square - 2 * mixed + outputs_) / outputs_);
}

absl::StatusOr<Fit> FitLeastSquares(const FitSums& sums, const at::Tensor& now,
                                    const at::Tensor& mask, double damping) {
  const int64_t features = sums.inputs().size(0) - (sums.bias() ? 1 : 0);
  const double mean = sums.inputs().diagonal().narrow(0, 0, features).mean().item<double>();
  if (!std::isfinite(mean) || !sums.products().isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError("a NaN or an infinity is among its inputs or outputs");
  }
  if (mean <= 0) return absl::InvalidArgumentError("its inputs are all zero");
  at::Tensor matrix = sums.inputs().clone();
  matrix.diagonal().narrow(0, 0, features).add_(damping * mean);
  const at::Tensor right = sums.products() - now.matmul(sums.inputs());
  Fit fit;
  fit.error_before = sums.RelativeError(now);
  if (mask.defined()) {
    fit.weight = now + MaskedSolve(matrix, right, mask);
  } else {
    const auto [factor, info] = at::linalg_cholesky_ex(matrix);
    if (info.item<int>() != 0) {
      return absl::InvalidArgumentError(
          "the second moments of its inputs are not positive definite even with the damping; "
          "raise damping");
    }
    fit.weight = now + at::cholesky_solve(right.t(), factor).t();
  }
  fit.error_after = sums.RelativeError(fit.weight);
  return fit;
}

}  // namespace wanlite
