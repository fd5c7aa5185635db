// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Ranges against computations of their own on the values themselves.
#include "src/quant/observers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "src/core/libtorch.h"
#include "src/proto/quant.pb.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

// Normal, with a few values far outside.
at::Tensor HeavyTailed(int64_t n, uint64_t seed = 1) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  at::Tensor x = at::randn({n}, generator);
  x.slice(0, 0, n, n / 20).mul_(6);
  return x;
}

MagnitudeHistogram Of(const at::Tensor& x) {
  MagnitudeHistogram histogram;
  histogram.Add(x, 1);
  return histogram;
}

// Mean squared error of rounding to -levels ... levels times range / levels.
double RoundingError(const at::Tensor& x, double range, int64_t levels) {
  const double step = range / static_cast<double>(levels), limit = static_cast<double>(levels);
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor rounded = (wide / step).round().clamp(-limit, limit) * step;
  return (wide - rounded).square().mean().item<double>();
}

// As Migacz's slides say it, with P and Q written out.
double DivergenceOf(const std::vector<double>& bins, size_t n, size_t steps) {
  std::vector<double> p(bins.begin(), bins.begin() + static_cast<int64_t>(n)), q(n);
  for (size_t step = 0; step < steps; ++step) {
    double sum = 0;
    int filled = 0;
    for (size_t i = step * n / steps; i < (step + 1) * n / steps; ++i) {
      sum += p[i];
      if (p[i] != 0) ++filled;
    }
    for (size_t i = step * n / steps; i < (step + 1) * n / steps; ++i) {
      q[i] = p[i] != 0 ? sum / filled : 0;
    }
  }
  for (size_t i = n; i < bins.size(); ++i) p[n - 1] += bins[i];
  double sum_p = 0, sum_q = 0, divergence = 0;
  for (size_t i = 0; i < n; ++i) {
    sum_p += p[i];
    sum_q += q[i];
  }
  for (size_t i = 0; i < n; ++i) {
    if (p[i] == 0) continue;
    if (q[i] == 0) return std::numeric_limits<double>::infinity();
    divergence += p[i] / sum_p * std::log((p[i] / sum_p) / (q[i] / sum_q));
  }
  return divergence;
}

}  // namespace

TEST_CASE("bins hold what a histogram of the final range holds, in whatever order values come") {
  const at::Tensor x = HeavyTailed(20000);
  const MagnitudeHistogram whole = Of(x);
  MagnitudeHistogram parts;
  // From small to large, so that neighbours are merged again and again.
  const at::Tensor sorted = std::get<0>(x.abs().sort());
  parts.Add(at::zeros({7}), 1);
  for (const at::Tensor& part : sorted.chunk(37)) parts.Add(part.contiguous(), 1);
  CHECK(whole.max() == x.abs().max().item<float>());
  CHECK(whole.bins()[0] + 7 == parts.bins()[0]);
  const double end = whole.bin_width() * MagnitudeHistogram::kBins;
  CHECK(end > whole.max());
  CHECK(end <= 2 * whole.max());
  const at::Tensor wanted = at::histc(x.abs(), MagnitudeHistogram::kBins, 0, end);
  for (int64_t i = 1; i < MagnitudeHistogram::kBins; ++i) {
    const auto at = static_cast<size_t>(i);
    if (whole.bins()[at] != parts.bins()[at] || whole.bins()[at] != wanted[i].item<double>()) {
      FAIL("bin " << i << ": " << whole.bins()[at] << ", " << parts.bins()[at] << ", "
                  << wanted[i].item<double>());
    }
  }
}

TEST_CASE("percentiles are exact for few values, and within a bin for many") {
  const at::Tensor few = HeavyTailed(1000);
  const at::Tensor sorted = std::get<0>(few.abs().sort());
  for (const double percent : {0.1, 50.0, 99.0, 99.9, 100.0}) {
    const auto rank = static_cast<int64_t>(std::ceil(percent / 100 * 1000 - 1e-9));
    CHECK(Of(few).Percentile(percent) == sorted[rank - 1].item<float>());
  }
  const at::Tensor many = HeavyTailed(300000);
  const at::Tensor all = std::get<0>(many.abs().sort());
  const MagnitudeHistogram histogram = Of(many);
  for (const double percent : {1.0, 50.0, 99.0, 99.99}) {
    const auto rank = static_cast<int64_t>(std::ceil(percent / 100 * 300000 - 1e-9));
    CHECK(std::abs(histogram.Percentile(percent) - all[rank - 1].item<float>()) <=
          histogram.bin_width());
  }
  CHECK(histogram.Percentile(100) == histogram.max());
}

TEST_CASE("a weight counts as so many values, for every method") {
  const at::Tensor a = HeavyTailed(4000, 1), b = HeavyTailed(4000, 2).mul_(3);
  MagnitudeHistogram weighted, repeated;
  weighted.Add(a, 1);
  weighted.Add(b, 3);
  for (const at::Tensor& x : {a, b, b, b}) repeated.Add(x, 1);
  for (const auto method :
       {Calibration::MIN_MAX, Calibration::PERCENTILE, Calibration::MSE, Calibration::ENTROPY}) {
    Calibration calibration;
    calibration.set_method(method);
    calibration.set_percentile(98);
    CHECK(FindRange(weighted, calibration) == FindRange(repeated, calibration));
    CHECK(FindRange(weighted, calibration) > 0);
  }
}

TEST_CASE("the range of least squared error is that of the values themselves") {
  const int64_t levels = GENERATE(7, 127);
  const at::Tensor x = HeavyTailed(50000);
  const MagnitudeHistogram histogram = Of(x);
  double best = 0, least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 128; ++i) {
    const double range = histogram.max() * std::exp2(-i / 16.0);
    const double error = RoundingError(x, range, levels);
    if (error < least) {
      least = error;
      best = range;
    }
  }
  const double found = histogram.LeastSquares(levels);
  INFO("found " << found << ", best " << best << ", largest " << histogram.max());
  CHECK(RoundingError(x, found, levels) <= 1.005 * least);
  // It clips, and that is worth it.
  CHECK(found < 0.9 * histogram.max());
  CHECK(RoundingError(x, found, levels) < 0.9 * RoundingError(x, histogram.max(), levels));
}

TEST_CASE("the range of least divergence is the one that P and Q written out give") {
  const at::Tensor x = HeavyTailed(100000);
  const MagnitudeHistogram histogram = Of(x);
  const double end = histogram.bin_width() * MagnitudeHistogram::kBins;
  const at::Tensor counts = at::histc(x.abs(), 2048, 0, end).to(at::kDouble).contiguous();
  std::vector<double> bins(counts.const_data_ptr<double>(), counts.const_data_ptr<double>() + 2048);
  while (bins.back() == 0) bins.pop_back();
  // Every eighth candidate and those around what was found: writing them all out takes long.
  const double found = histogram.LeastDivergence(127);
  const auto at = static_cast<size_t>(std::lround(found / end * 2048));
  double least = std::numeric_limits<double>::infinity();
  for (size_t n = 128; n <= bins.size(); ++n) {
    if (n % 8 != 0 && std::max(n, at) - std::min(n, at) > 8) continue;
    least = std::min(least, DivergenceOf(bins, n, 128));
  }
  CHECK(DivergenceOf(bins, at, 128) == Approx(least).epsilon(1e-9));
  CHECK(found < 0.9 * histogram.max());
}

TEST_CASE("zeros have no range, and values of one magnitude have that") {
  Calibration calibration;
  for (const auto method :
       {Calibration::MIN_MAX, Calibration::PERCENTILE, Calibration::MSE, Calibration::ENTROPY}) {
    calibration.set_method(method);
    calibration.set_percentile(99.99);
    CHECK(FindRange(Of(at::zeros({100})), calibration) == 0);
    CHECK(FindRange(Of(at::full({100}, -3.0f)), calibration) == Approx(3).epsilon(1e-3));
    CHECK(FindRange(Of(at::full({100}, 1e-30f)), calibration) == Approx(1e-30).epsilon(1e-3));
  }
}

}  // namespace wanlite
