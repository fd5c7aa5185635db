// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/observers.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/core/libtorch.h"
#include "src/ops/int8_math.h"
#include "src/proto/quant.pb.h"

namespace wanlite {
namespace {

// Below that of any fp32 value.
constexpr int kNoExponent = -1000;

// Integral of (t - round(t))^2 from 0 to x: each whole step gives 1/12.
double RoundingIntegral(double x) {
  const double nearest = std::round(x), rest = x - nearest;
  return nearest / 12 + rest * rest * rest / 3;
}

// Of the first n bins rounded to `steps` steps and clipped there: sum of P log(P / Q), up to terms
// that all candidates share. Infinite where Q has nothing and P has something.
double Divergence(const std::vector<double>& bins, size_t n, double clipped, size_t steps) {
  double total = clipped;
  for (size_t i = 0; i < n; ++i) total += bins[i];
  const double kept = total - clipped;
  if (!(kept > 0)) return std::numeric_limits<double>::infinity();
  double divergence = 0;
  for (size_t step = 0, begin = 0; step < steps; ++step) {
    const size_t end = (step + 1) * n / steps;
    double sum = 0, filled = 0;
    for (size_t i = begin; i < end; ++i) {
      sum += bins[i];
      filled += bins[i] > 0;
    }
    for (size_t i = begin; i < end; ++i) {
      const double p = (bins[i] + (i + 1 == n ? clipped : 0)) / total;
      if (p == 0) continue;
      if (bins[i] == 0) return std::numeric_limits<double>::infinity();
      divergence += p * std::log(p / (sum / filled / kept));
    }
    begin = end;
  }
  return divergence;
}

}  // namespace

MagnitudeHistogram::MagnitudeHistogram()
    : exponent_(kNoExponent), bins_(static_cast<size_t>(kBins)) {}

double MagnitudeHistogram::bin_width() const {
  return std::ldexp(1.0, exponent_) / static_cast<double>(kBins);
}

void MagnitudeHistogram::Add(const at::Tensor& values, double weight) {
  TORCH_CHECK(values.is_contiguous() && values.scalar_type() == at::kFloat && weight > 0,
              "a histogram takes contiguous fp32 values of a positive weight");
  const float* x = values.const_data_ptr<float>();
  const int64_t n = values.numel();
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  int exponent = kNoExponent;
  if (largest > 0) std::frexp(largest, &exponent);  // largest < 2^exponent
  if (exponent > exponent_) {
    const int shift = exponent - exponent_;
    for (size_t i = 0; i < bins_.size(); ++i) {
      const double count = bins_[i];
      bins_[i] = 0;
      bins_[shift < 32 ? i >> shift : 0] += count;
    }
    exponent_ = exponent;
  }
  const double per_unit = std::ldexp(static_cast<double>(kBins), -exponent_);
  std::vector<int64_t> counts(bins_.size());
  for (int64_t i = 0; i < n; ++i) {
    ++counts[static_cast<size_t>(std::abs(static_cast<double>(x[i])) * per_unit)];
  }
  for (size_t i = 0; i < bins_.size(); ++i) bins_[i] += weight * static_cast<double>(counts[i]);
  max_ = std::max<double>(max_, largest);
  total_ += weight * static_cast<double>(n);
  keeps_ = keeps_ && static_cast<int64_t>(kept_.size()) + n <= kKept;
  if (!keeps_) {
    kept_ = {};
    return;
  }
  for (int64_t i = 0; i < n; ++i) kept_.emplace_back(std::abs(x[i]), weight);
}

double MagnitudeHistogram::Percentile(double percent) const {
  // Not above a rank by the rounding of the product.
  const double wanted = percent / 100 * total_ * (1 - 1e-12);
  double sum = 0;
  if (keeps_) {
    std::vector<std::pair<float, double>> sorted = kept_;
    std::sort(sorted.begin(), sorted.end());
    for (const auto& [value, weight] : sorted) {
      sum += weight;
      if (sum >= wanted) return value;
    }
    return max_;
  }
  for (size_t i = 0; i < bins_.size(); ++i) {
    if (sum + bins_[i] >= wanted && bins_[i] > 0) {
      return std::min(max_, (static_cast<double>(i) + (wanted - sum) / bins_[i]) * bin_width());
    }
    sum += bins_[i];
  }
  return max_;
}

double MagnitudeHistogram::LeastSquares(int64_t levels) const {
  const double width = bin_width();
  double best = max_, least = std::numeric_limits<double>::infinity();
  for (int candidate = 0; candidate < 128; ++candidate) {
    const double range = max_ * std::exp2(-candidate / 16.0);
    const double step = range / static_cast<double>(levels);
    double error = 0;
    for (size_t i = 0; i < bins_.size(); ++i) {
      if (bins_[i] == 0) continue;
      const double low = static_cast<double>(i) * width, high = low + width;
      double mean;
      if (low < range) {
        mean = step * step * step * (RoundingIntegral(high / step) - RoundingIntegral(low / step));
      } else {
        mean = (std::pow(high - range, 3) - std::pow(low - range, 3)) / 3;
      }
      error += bins_[i] * mean / width;
    }
    if (error < least) {
      least = error;
      best = range;
    }
  }
  return best;
}

double MagnitudeHistogram::LeastDivergence(int64_t levels) const {
  constexpr size_t kMerged = 2048, kEach = static_cast<size_t>(kBins) / kMerged;
  std::vector<double> bins(kMerged);
  size_t used = 0;
  for (size_t i = 0; i < bins_.size(); ++i) {
    bins[i / kEach] += bins_[i];
    if (bins_[i] > 0) used = i / kEach + 1;
  }
  const size_t steps = static_cast<size_t>(levels) + 1;
  const double width = bin_width() * static_cast<double>(kEach);
  double clipped = 0, least = std::numeric_limits<double>::infinity(), best = max_;
  for (size_t n = used; n >= steps; --n) {
    const double divergence = Divergence(bins, n, clipped, steps);
    if (divergence < least) {
      least = divergence;
      best = static_cast<double>(n) * width;
    }
    clipped += bins[n - 1];
  }
  return std::min(max_, best);
}

double FindRange(const MagnitudeHistogram& values, const Calibration& calibration) {
  if (values.max() == 0) return 0;
  switch (calibration.method()) {
    case Calibration::PERCENTILE:
      return values.Percentile(calibration.percentile());
    case Calibration::MSE:
      return values.LeastSquares(ops::kInt8Limit);
    case Calibration::ENTROPY:
      return values.LeastDivergence(ops::kInt8Limit);
    default:
      return values.max();
  }
}

}  // namespace wanlite
