// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/curve_factors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/core/libtorch.h"

namespace wanlite {
namespace {

// Rows of a matrix that are in fp64 at once.
constexpr int64_t kRowsAtOnce = 1024;
// Singular values come from the squares' decomposition, which knows no smaller ones, as a part of
// the largest, with vectors that are still at right angles.
constexpr double kSmallestSingular = 1e-6;

// Calls visit(first row, W's rows in fp64, the bias's rows or undefined).
template <typename Visit>
void ForRows(const at::Tensor& weight, const std::optional<at::Tensor>& bias, Visit visit) {
  for (int64_t row = 0; row < weight.size(0); row += kRowsAtOnce) {
    const int64_t end = std::min(weight.size(0), row + kRowsAtOnce);
    visit(row, weight.slice(0, row, end).to(at::kDouble),
          bias.has_value() ? bias->slice(0, row, end).to(at::kDouble) : at::Tensor());
  }
}

}  // namespace

OutputCurve::OutputCurve(at::Tensor x, at::Tensor weight, std::optional<at::Tensor> bias)
    : x_(std::move(x)), weight_(weight.detach()), bias_(std::move(bias)) {
  const at::NoGradGuard no_grad;
  const int64_t points = x_.size(0);
  // What all outputs have in common goes into the bias, where there is one.
  mean_ = bias_.has_value() ? x_.mean(0) : at::zeros({x_.size(1)}, at::kDouble);
  const at::Tensor centred = x_ - mean_;
  at::Tensor gram = at::zeros({points, points}, at::kDouble);
  sizes_ = at::zeros({points}, at::kDouble);
  ForRows(weight_, bias_, [&](int64_t, const at::Tensor& rows, const at::Tensor& add) {
    const at::Tensor y = centred.matmul(rows.t());  // [points, rows]
    gram.addmm_(y, y.t());
    at::Tensor common = rows.matmul(mean_);
    if (add.defined()) common = common + add;
    sizes_ += (y + common).square().sum(1);
  });
  spreads_ = gram.diagonal().clone();
  const auto [values, vectors] = at::linalg_eigh(gram);
  values_ = values.flip(0).clamp_min(0);
  vectors_ = vectors.flip(1);
}

int64_t OutputCurve::RankFor(double tolerance) const {
  // What the first k components leave of each output: [points, k].
  const at::Tensor left =
      (spreads_.unsqueeze(1) - (vectors_.square() * values_).cumsum(1)).clamp_min(0);
  const at::Tensor worst =
      (left / sizes_.clamp_min(1e-300).unsqueeze(1)).sqrt().amax(0);  // [ranks]
  const double floor = values_[0].item<double>() * kSmallestSingular * kSmallestSingular;
  const int64_t most = std::max<int64_t>(1, values_.gt(floor).sum().item<int64_t>());
  for (int64_t rank = 1; rank < most; ++rank) {
    if (worst[rank - 1].item<double>() <= tolerance) return rank;
  }
  return most;
}

CurveFactors OutputCurve::Factors(int64_t rank) const {
  const at::NoGradGuard no_grad;
  const int64_t in = weight_.size(1), out = weight_.size(0);
  const int64_t known = std::min(rank, values_.size(0));
  const at::Tensor singular = values_.slice(0, 0, known).sqrt();
  const at::Tensor used = singular.gt(singular[0] * kSmallestSingular);
  const at::Tensor inverse = at::where(used, singular.reciprocal(), 0);
  // B = W Z has orthonormal columns: right singular vectors of the outputs.
  const at::Tensor z =
      (x_ - mean_).t().matmul(vectors_.slice(1, 0, known)) * inverse;  // [in, known]
  CurveFactors factors;
  factors.a = at::zeros({rank, in}, at::kDouble);
  factors.b = at::zeros({out, rank}, at::kDouble);
  ForRows(weight_, {}, [&](int64_t row, const at::Tensor& rows, const at::Tensor&) {
    const at::Tensor b = rows.matmul(z);
    factors.b.slice(0, row, row + rows.size(0)).slice(1, 0, known).copy_(b);
    factors.a.slice(0, 0, known).addmm_(b.t(), rows);
  });
  if (!bias_.has_value()) return factors;
  factors.bias = bias_->to(at::kDouble) - factors.b.matmul(factors.a.matmul(mean_));
  ForRows(weight_, {}, [&](int64_t row, const at::Tensor& rows, const at::Tensor&) {
    factors.bias->slice(0, row, row + rows.size(0)).add_(rows.matmul(mean_));
  });
  return factors;
}

double LargestCurveError(const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, const at::Tensor& y,
                         const at::Tensor& a, const at::Tensor& b,
                         const std::optional<at::Tensor>& factored_bias) {
  const at::NoGradGuard no_grad;
  const at::Tensor inner = y.matmul(a.to(at::kDouble).t());  // [points, rank]
  at::Tensor errors = at::zeros({x.size(0)}, at::kDouble), sizes = at::zeros_like(errors);
  ForRows(weight, bias, [&](int64_t row, const at::Tensor& rows, const at::Tensor& add) {
    const int64_t end = row + rows.size(0);
    at::Tensor want = x.matmul(rows.t());
    at::Tensor found = inner.matmul(b.slice(0, row, end).to(at::kDouble).t());
    if (add.defined()) want = want + add;
    if (factored_bias.has_value()) {
      found = found + factored_bias->slice(0, row, end).to(at::kDouble);
    }
    sizes += want.square().sum(1);
    errors += (found - want).square().sum(1);
  });
  return (errors / sizes.clamp_min(1e-300)).max().sqrt().item<double>();
}

}  // namespace wanlite
