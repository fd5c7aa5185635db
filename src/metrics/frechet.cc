// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/metrics/frechet.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

absl::Status CheckFeatures(const at::Tensor& features, absl::string_view name) {
  if (!features.defined() || features.dim() != 2 || !features.is_floating_point()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " features must be a floating-point matrix [clips, width], got ",
        features.defined()
            ? absl::StrCat(features.dim(), " dimensions of ", c10::toString(features.scalar_type()))
            : "nothing"));
  }
  if (features.size(0) < 2 || features.size(1) < 1) {
    return absl::InvalidArgumentError(absl::StrCat(name, " features are [", features.size(0), ", ",
                                                   features.size(1),
                                                   "]; at least 2 clips are needed"));
  }
  if (!features.isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " features hold values that are not finite"));
  }
  return absl::OkStatus();
}

absl::Status CheckPair(const at::Tensor& real, const at::Tensor& generated) {
  WANLITE_RETURN_IF_ERROR(CheckFeatures(real, "real"));
  WANLITE_RETURN_IF_ERROR(CheckFeatures(generated, "generated"));
  if (real.size(1) != generated.size(1)) {
    return absl::InvalidArgumentError(absl::StrCat("real features are ", real.size(1),
                                                   " wide, generated ones ", generated.size(1)));
  }
  return absl::OkStatus();
}

struct Gaussian {
  at::Tensor mean;  // fp64 [d]
  // fp64 [r, d]; the covariance is factor^T factor. It has as few rows as are needed: at most d.
  at::Tensor factor;
};

// The Gaussian of the rows of `x`, each counted `weights` times (whole numbers > 0).
// x: fp64 [k, d]; weights: fp64 [k]
Gaussian Fit(const at::Tensor& x, const at::Tensor& weights, CovarianceDivisor divisor) {
  const double n = weights.sum().item<double>();
  const at::Tensor mean = weights.matmul(x) / n;
  at::Tensor factor =
      (x - mean) *
      (weights / (divisor == CovarianceDivisor::kUnbiased ? n - 1 : n)).sqrt().unsqueeze(1);
  // Turning the rows by an orthogonal matrix leaves the covariance as it is, so many rows become d.
  if (factor.size(0) > factor.size(1)) factor = std::get<1>(at::linalg_qr(factor, "r"));
  return {mean, factor};
}

Gaussian Fit(const at::Tensor& features, CovarianceDivisor divisor) {
  const at::Tensor x = features.to(at::kDouble);
  return Fit(x, at::ones({x.size(0)}, x.options()), divisor);
}

double Distance(const Gaussian& a, const Gaussian& b) {
  // With S_a = A^T A and S_b = B^T B, Tr (S_a^(1/2) S_b S_a^(1/2))^(1/2) is the sum of the singular
  // values of A B^T. That is the smaller of clips and features wide, and squares no rounding error.
  const double trace_of_root =
      at::linalg_svdvals(a.factor.matmul(b.factor.t())).sum().item<double>();
  return (a.mean - b.mean).square().sum().item<double>() + a.factor.square().sum().item<double>() +
         b.factor.square().sum().item<double>() - 2 * trace_of_root;
}

}  // namespace

absl::string_view CovarianceDivisorName(CovarianceDivisor divisor) {
  return divisor == CovarianceDivisor::kUnbiased ? "n-1" : "n";
}

absl::StatusOr<double> FrechetDistance(const at::Tensor& real, const at::Tensor& generated,
                                       CovarianceDivisor divisor) {
  return CatchTorch([&]() -> absl::StatusOr<double> {
    at::NoGradGuard no_grad;
    WANLITE_RETURN_IF_ERROR(CheckPair(real, generated));
    return Distance(Fit(real, divisor), Fit(generated, divisor));
  });
}

absl::StatusOr<double> KernelDistance(const at::Tensor& real, const at::Tensor& generated) {
  return CatchTorch([&]() -> absl::StatusOr<double> {
    at::NoGradGuard no_grad;
    WANLITE_RETURN_IF_ERROR(CheckPair(real, generated));
    const at::Tensor x = real.to(at::kDouble), y = generated.to(at::kDouble);
    const double d = static_cast<double>(x.size(1));
    const auto kernel = [d](const at::Tensor& a, const at::Tensor& b) {
      return (a.matmul(b.t()) / d + 1).pow(3);
    };
    const auto mean_of_pairs = [&](const at::Tensor& a) {
      const at::Tensor k = kernel(a, a);
      const double n = static_cast<double>(a.size(0));
      return (k.sum() - k.trace()).item<double>() / (n * (n - 1));
    };
    return mean_of_pairs(x) + mean_of_pairs(y) - 2 * kernel(x, y).mean().item<double>();
  });
}

absl::StatusOr<std::vector<double>> FrechetResamples(const at::Tensor& real,
                                                     const at::Tensor& generated,
                                                     CovarianceDivisor divisor, int resamples,
                                                     uint64_t seed,
                                                     const CancellationToken* cancel) {
  if (resamples < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("bootstrap with ", resamples, " resamples; wanted at least 2"));
  }
  return CatchTorch([&]() -> absl::StatusOr<std::vector<double>> {
    at::NoGradGuard no_grad;
    WANLITE_RETURN_IF_ERROR(CheckPair(real, generated));
    at::Generator generator = at::detail::createCPUGenerator(seed);
    // A clip that is drawn twice is one row of weight two: a resample holds only 63 % of the rows.
    const auto resample = [&](const at::Tensor& x) {
      const at::Tensor drawn =
          at::randint(x.size(0), {x.size(0)}, generator, at::TensorOptions().dtype(at::kLong));
      const at::Tensor counts = at::bincount(drawn, {}, x.size(0));
      const at::Tensor rows = counts.nonzero().squeeze(1);
      return Fit(x.index_select(0, rows), counts.index_select(0, rows).to(at::kDouble), divisor);
    };
    const at::Tensor a = real.to(at::kDouble), b = generated.to(at::kDouble);
    std::vector<double> distances;
    for (int i = 0; i < resamples; ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
      const Gaussian resampled = resample(a);
      distances.push_back(Distance(resampled, resample(b)));
    }
    return distances;
  });
}

absl::StatusOr<Interval> IntervalAround(double centre, std::vector<double> values,
                                        double confidence) {
  if (values.size() < 2 || !(confidence > 0 && confidence < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("an interval of ", values.size(), " values at confidence ", confidence,
                     "; wanted at least 2 and a confidence between 0 and 1"));
  }
  std::sort(values.begin(), values.end());
  double mean = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  const auto quantile = [&](double q) {
    const double at = q * static_cast<double>(values.size() - 1);
    const size_t low = static_cast<size_t>(at);
    const size_t high = std::min(low + 1, values.size() - 1);
    return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
  };
  const double tail = (1 - confidence) / 2, shift = centre - mean;
  return Interval{quantile(tail) + shift, quantile(1 - tail) + shift, centre};
}

std::string SampleWarning(int64_t n_real, int64_t n_generated, int64_t dim) {
  if (std::min(n_real, n_generated) > dim) return "";
  return absl::StrCat(
      "only ", std::min(n_real, n_generated), " clips in ",
      n_real <= n_generated ? "the real set" : "the generated set", " for ", dim,
      " features: the covariance is singular and the distance is biased upwards, so it "
      "only ranks sets of the same size");
}

}  // namespace wanlite
