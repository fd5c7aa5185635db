// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/metrics/frechet.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

at::Tensor Features(int64_t n, int64_t d, uint64_t seed, double shift = 0) {
  return at::randn({n, d}, at::detail::createCPUGenerator(seed)).to(at::kDouble) + shift;
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
    const auto interval =
        FrechetBootstrap(Features(n, 4, 1), Features(n, 4, 2, 0.5), CovarianceDivisor::kUnbiased, 50, 0.9, 3);
    REQUIRE_OK(interval);
    CHECK(interval->low < interval->high);
    return interval->high - interval->low;
  };
  CHECK(width(2000) < width(50));
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
