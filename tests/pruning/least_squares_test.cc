// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/least_squares.h"

#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

at::Tensor Normal(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed));
}

struct Problem {
  at::Tensor x, y, now;  // now: with the bias, when there is one
  std::vector<double> weights;
  FitSums sums{1, 1, false};
};

// Rows of several samples of different weights, correlated features.
Problem RandomProblem(uint64_t seed, int64_t in, int64_t out, bool bias) {
  Problem problem;
  problem.sums = FitSums(in, out, bias);
  const at::Tensor mixing = Normal({in, in}, MixSeed(seed, {1}));
  std::vector<at::Tensor> xs, ys;
  for (uint64_t i = 0; i < 4; ++i) {
    const int64_t rows = 5 + static_cast<int64_t>(i) * in;
    const at::Tensor x = Normal({rows, in}, MixSeed(seed, {2, i})).matmul(mixing) + 0.5;
    const at::Tensor y = Normal({rows, out}, MixSeed(seed, {3, i})) + x.narrow(1, 0, 1);
    const double weight = 0.5 + static_cast<double>(i);
    problem.sums.Add(x, y, weight);
    const double root = std::sqrt(weight);
    xs.push_back(root * (bias ? at::cat({x, at::ones({rows, 1})}, 1) : x));
    ys.push_back(root * y);
  }
  problem.x = at::cat(xs).to(at::kDouble);
  problem.y = at::cat(ys).to(at::kDouble);
  problem.now = Normal({out, in + (bias ? 1 : 0)}, MixSeed(seed, {4}));
  return problem;
}

// Row by row, over the unknowns that it has, from the rows themselves and in fp64.
at::Tensor Expected(const Problem& problem, const at::Tensor& mask, double damping) {
  const int64_t k = problem.now.size(1), in = k - (problem.sums.bias() ? 1 : 0);
  const at::Tensor moment = problem.x.t().matmul(problem.x);
  at::Tensor ridge = at::zeros({k}, at::kDouble);
  ridge.narrow(0, 0, in).fill_(damping * moment.diagonal().narrow(0, 0, in).mean().item<double>());
  at::Tensor result = problem.now.to(at::kDouble);
  for (int64_t row = 0; row < result.size(0); ++row) {
    const at::Tensor kept = mask.defined() ? mask[row].nonzero().flatten() : at::arange(k);
    const at::Tensor x = problem.x.index_select(1, kept);
    const at::Tensor left = x.t().matmul(x) + ridge.index_select(0, kept).diag();
    const at::Tensor now = result[row].index_select(0, kept);
    const at::Tensor right =
        x.t().matmul(problem.y.select(1, row)) + ridge.index_select(0, kept) * now;
    result[row].index_copy_(0, kept, at::linalg_solve(left, right));
  }
  return result;
}

double Distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b).norm() / b.norm()).item<double>();
}

TEST_CASE("a fit is that of the rows themselves, masked or not, with and without bias") {
  Random random(7);
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const int64_t in = 1 + random.Below(24), out = 1 + random.Below(16);
    const bool bias = seed % 2 == 0;
    const double damping = seed % 3 == 0 ? 0.3 : 0.01;
    INFO("seed " << seed << ": " << in << " -> " << out << (bias ? " with bias" : ""));
    Problem problem = RandomProblem(seed, in, out, bias);
    ASSERT_OK_AND_ASSIGN(const Fit fit, FitLeastSquares(problem.sums, problem.now, {}, damping));
    CHECK(Distance(fit.weight, Expected(problem, {}, damping)) < 1e-3);
    CHECK(fit.error_after <= fit.error_before);
    const at::Tensor away = problem.y - problem.x.matmul(fit.weight.to(at::kDouble).t());
    CHECK(fit.error_after ==
          Approx((away.norm() / problem.y.norm()).item<double>()).epsilon(1e-3).margin(2e-3));

    const at::Tensor mask = Normal(problem.now.sizes(), seed) > -0.3;
    problem.now.masked_fill_(mask.logical_not(), 0);
    ASSERT_OK_AND_ASSIGN(const Fit masked,
                         FitLeastSquares(problem.sums, problem.now, mask, damping));
    CHECK(Distance(masked.weight, Expected(problem, mask, damping)) < 5e-3);
    CHECK(masked.weight.masked_select(mask.logical_not()).abs().sum().item<double>() == 0);
  }
}

TEST_CASE("what fits already stays, and what rows were made by is found") {
  const at::Tensor truth = Normal({6, 9}, 1), x = Normal({200, 8}, 2);
  const at::Tensor y = at::linear(x, truth.narrow(1, 0, 8), truth.select(1, 8));
  FitSums sums(8, 6, true);
  sums.Add(x, y, 1);
  ASSERT_OK_AND_ASSIGN(const Fit same, FitLeastSquares(sums, truth, {}, 0.01));
  CHECK(Distance(same.weight, truth.to(at::kDouble)) < 1e-5);
  CHECK(same.error_before < 2e-3);
  ASSERT_OK_AND_ASSIGN(const Fit found, FitLeastSquares(sums, at::zeros({6, 9}), {}, 1e-6));
  CHECK(Distance(found.weight, truth.to(at::kDouble)) < 1e-4);
  CHECK(found.error_before == Approx(1));
}

TEST_CASE("sums that nothing can be fitted to are refused") {
  FitSums zeros(3, 2, false);
  zeros.Add(at::zeros({4, 3}), at::ones({4, 2}), 1);
  CHECK(FitLeastSquares(zeros, at::zeros({2, 3}), {}, 0.01).status().message() ==
        "its inputs are all zero");
  FitSums broken(3, 2, false);
  broken.Add(at::ones({4, 3}), at::full({4, 2}, INFINITY), 1);
  CHECK(absl::IsInvalidArgument(FitLeastSquares(broken, at::zeros({2, 3}), {}, 0.01).status()));
  CHECK_THROWS_AS(broken.Add(at::ones({4, 3}), at::ones({5, 2}), 1), c10::Error);
}

}  // namespace
}  // namespace wanlite
