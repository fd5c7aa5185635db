// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/metrics/frechet.h"

#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

at::Tensor Features(int64_t n, int64_t d, uint64_t seed, double shift = 0) {
  return at::randn({n, d}, at::detail::createCPUGenerator(seed)).to(at::kDouble) + shift;
}

// The textbook way: eigenvalues of S_a^(1/2) S_b S_a^(1/2).
double ByEigenvalues(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor s_a = at::cov(a.t()), s_b = at::cov(b.t());
  const auto [values, vectors] = at::linalg_eigh(s_a);
  const at::Tensor root = (vectors * values.clamp_min(0).sqrt()).matmul(vectors.t());
  const at::Tensor middle = root.matmul(s_b).matmul(root);
  const at::Tensor roots = at::linalg_eigvalsh((middle + middle.t()) / 2).clamp_min(0).sqrt();
  return ((a.mean(0) - b.mean(0)).square().sum() + s_a.trace() + s_b.trace() - 2 * roots.sum())
      .item<double>();
}

}  // namespace

TEST_CASE("Frechet and kernel distances equal scipy's to 1e-6") {
  ASSERT_OK_AND_ASSIGN(auto golden,
                       OpenSafetensors(PosixEnv(), "tests/golden/data/frechet.safetensors"));
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    const at::Tensor real = *golden->Read(absl::StrCat(i, ".real"));
    const at::Tensor generated = *golden->Read(absl::StrCat(i, ".generated"));
    const at::Tensor expected = *golden->Read(absl::StrCat(i, ".expected"));
    ASSERT_OK_AND_ASSIGN(double unbiased, FrechetDistance(real, generated));
    ASSERT_OK_AND_ASSIGN(double population,
                         FrechetDistance(real, generated, CovarianceDivisor::kPopulation));
    ASSERT_OK_AND_ASSIGN(double kernel, KernelDistance(real, generated));
    CHECK(unbiased == Approx(expected[0].item<double>()).epsilon(1e-6));
    CHECK(population == Approx(expected[1].item<double>()).epsilon(1e-6));
    CHECK(kernel == Approx(expected[2].item<double>()).epsilon(1e-6));
  }
}

TEST_CASE("a set has no distance to itself, and the distance is symmetric") {
  const at::Tensor a = Features(50, 8, 1), b = Features(60, 8, 2, 0.3);
  CHECK(std::abs(*FrechetDistance(a, a)) < 1e-9);
  CHECK(*FrechetDistance(a, b) == Approx(*FrechetDistance(b, a)).epsilon(1e-9));
  CHECK(*FrechetDistance(a, b) > 0);
}

TEST_CASE("the distance by factors equals the one by eigenvalues, for few clips and for many") {
  for (const auto& [n, m, d] :
       {std::tuple(100, 90, 12), std::tuple(40, 200, 30), std::tuple(31, 31, 30)}) {
    CAPTURE(n, m, d);
    const at::Tensor a = Features(n, d, 1), b = Features(m, d, 2, 0.3) * 1.5;
    CHECK(*FrechetDistance(a, b) == Approx(ByEigenvalues(a, b)).epsilon(1e-9));
  }
  // Rounding in the null space of a singular covariance costs the eigenvalues half their digits.
  for (const auto& [n, m, d] :
       {std::tuple(10, 12, 40), std::tuple(10, 100, 40), std::tuple(100, 10, 40)}) {
    CAPTURE(n, m, d);
    const at::Tensor a = Features(n, d, 1), b = Features(m, d, 2, 0.3) * 1.5;
    CHECK(*FrechetDistance(a, b) == Approx(ByEigenvalues(a, b)).epsilon(1e-6));
  }
  // Features that are always zero change the shape, so the way of computing, but not the distance.
  const at::Tensor a = Features(20, 8, 1), b = Features(25, 8, 2, 0.3);
  CHECK(*FrechetDistance(at::constant_pad_nd(a, {0, 40}), at::constant_pad_nd(b, {0, 40})) ==
        Approx(*FrechetDistance(a, b)).epsilon(1e-9));
}

TEST_CASE("a singular covariance gives a real, finite distance and a warning") {
  const at::Tensor a = Features(5, 40, 1), b = Features(6, 40, 2);
  CHECK(std::isfinite(*FrechetDistance(a, b)));
  CHECK(SampleWarning(5, 6, 40).find("only 5 clips in the real set for 40") != std::string::npos);
  CHECK(SampleWarning(41, 41, 40).empty());
}

TEST_CASE("the kernel distance is unbiased: near zero for two samples of one distribution") {
  double sum = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    sum += *KernelDistance(Features(30, 6, 2 * seed), Features(30, 6, 2 * seed + 1));
  }
  CHECK(std::abs(sum / 40) < 0.1);
  CHECK(*KernelDistance(Features(30, 6, 1), Features(30, 6, 2, 1.0)) > 1);
}

TEST_CASE("the bootstrap interval holds the distance of large sets and narrows with them") {
  const auto width = [](int64_t n) {
    ASSERT_OK_AND_ASSIGN(const std::vector<double> distances,
                         FrechetResamples(Features(n, 4, 1), Features(n, 4, 2, 0.5),
                                          CovarianceDivisor::kUnbiased, 50, 3));
    ASSERT_OK_AND_ASSIGN(const Interval interval, IntervalAround(7, distances, 0.9));
    CHECK((interval.low < 7 && 7 < interval.high && interval.centre == 7));
    return interval.high - interval.low;
  };
  CHECK(width(2000) < width(50));
}

TEST_CASE("the bootstrap equals distances of sets drawn with replacement") {
  const at::Tensor a = Features(12, 5, 1), b = Features(9, 5, 2, 0.5);
  at::Generator generator = at::detail::createCPUGenerator(7);
  const auto draw = [&](const at::Tensor& x) {
    return x.index_select(
        0, at::randint(x.size(0), {x.size(0)}, generator, at::TensorOptions().dtype(at::kLong)));
  };
  ASSERT_OK_AND_ASSIGN(const std::vector<double> resamples,
                       FrechetResamples(a, b, CovarianceDivisor::kUnbiased, 3, 7));
  REQUIRE(resamples.size() == 3);
  for (const double distance : resamples) {
    const at::Tensor drawn = draw(a);
    CHECK(distance == Approx(*FrechetDistance(drawn, draw(b))).epsilon(1e-9));
  }
}

TEST_CASE("an interval holds the middle of its values, around the centre that is asked for") {
  // Of two values, half of the confidence is a quarter of the way in from each.
  ASSERT_OK_AND_ASSIGN(const Interval interval, IntervalAround(10, {6, 2}, 0.5));
  CHECK(interval.low == Approx(9));
  CHECK(interval.high == Approx(11));
  CHECK(absl::IsInvalidArgument(IntervalAround(0, {1}, 0.5).status()));
  CHECK(absl::IsInvalidArgument(IntervalAround(0, {1, 2}, 1).status()));
}

TEST_CASE("bad features are refused with what is wrong") {
  const at::Tensor good = Features(5, 3, 1);
  at::Tensor nan = good.clone();
  nan[2][1] = std::numeric_limits<double>::quiet_NaN();
  const auto message = [&](const at::Tensor& real, const at::Tensor& generated) {
    const auto distance = FrechetDistance(real, generated);
    REQUIRE_FALSE(distance.ok());
    CHECK(distance.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(distance.status().message());
  };
  CHECK(message(good, Features(5, 4, 1)) == "real features are 3 wide, generated ones 4");
  CHECK(message(good, nan) == "generated features hold values that are not finite");
  CHECK(message(Features(1, 3, 1), good).find("at least 2 clips") != std::string::npos);
  CHECK(message(at::zeros({2, 3, 4}), good).find("real features must be") != std::string::npos);
  CHECK(message(at::zeros({5, 3}, at::kLong), good).find("floating-point") != std::string::npos);
}

}  // namespace wanlite
