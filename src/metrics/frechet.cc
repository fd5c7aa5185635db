// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/metrics/frechet.h"

#include <torch/torch.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

absl::Status CheckFeatures(const at::Tensor& features, absl::string_view name) {
  if (!features.defined() || features.dim() != 2 || !features.is_floating_point()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " features must be a floating-point matrix [clips, width], got ",
        features.defined() ? absl::StrCat(features.dim(), " dimensions of ",
                                          c10::toString(features.scalar_type()))
                           : "nothing"));
  }
  if (features.size(0) < 2 || features.size(1) < 1) {
    return absl::InvalidArgumentError(absl::StrCat(name, " features are [", features.size(0), ", ",
                                                   features.size(1), "]; at least 2 clips are needed"));
  }
  if (!features.isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " features hold values that are not finite"));
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
  at::Tensor mean;        // fp64 [d]
  at::Tensor covariance;  // fp64 [d, d]
};

Gaussian Fit(const at::Tensor& features, CovarianceDivisor divisor) {
  const at::Tensor x = features.to(at::kDouble);
  const at::Tensor mean = x.mean(0);
  const at::Tensor centred = x - mean;
  const double n = static_cast<double>(x.size(0));
  return {mean, centred.t().matmul(centred) /
                    (divisor == CovarianceDivisor::kUnbiased ? n - 1 : n)};
}

double Distance(const Gaussian& a, const Gaussian& b) {
  const auto [values, vectors] = at::linalg_eigh(a.covariance);
  // S_a^(1/2); rounding makes zero eigenvalues slightly negative.
  const at::Tensor root = (vectors * values.clamp_min(0).sqrt()).matmul(vectors.t());
  at::Tensor middle = root.matmul(b.covariance).matmul(root);
  middle = (middle + middle.t()) / 2;
  const double trace_of_root = at::linalg_eigvalsh(middle).clamp_min(0).sqrt().sum().item<double>();
  return (a.mean - b.mean).square().sum().item<double>() + a.covariance.trace().item<double>() +
         b.covariance.trace().item<double>() - 2 * trace_of_root;
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

absl::StatusOr<Interval> FrechetBootstrap(const at::Tensor& real, const at::Tensor& generated,
                                          CovarianceDivisor divisor, int resamples, double confidence,
                                          uint64_t seed) {
  if (resamples < 2 || !(confidence > 0 && confidence < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("bootstrap with ", resamples, " resamples at confidence ", confidence,
                     "; wanted at least 2 and a confidence between 0 and 1"));
  }
  return CatchTorch([&]() -> absl::StatusOr<Interval> {
    at::NoGradGuard no_grad;
    WANLITE_RETURN_IF_ERROR(CheckPair(real, generated));
    at::Generator generator = at::detail::createCPUGenerator(seed);
    const auto resample = [&](const at::Tensor& x) {
      return x.index_select(0, at::randint(x.size(0), {x.size(0)}, generator,
                                           at::TensorOptions().dtype(at::kLong)));
    };
    std::vector<double> distances;
    for (int i = 0; i < resamples; ++i) {
      const Gaussian a = Fit(resample(real), divisor);
      distances.push_back(Distance(a, Fit(resample(generated), divisor)));
    }
    std::sort(distances.begin(), distances.end());
    const double tail = (1 - confidence) / 2;
    const auto quantile = [&](double q) {
      const double at = q * static_cast<double>(resamples - 1);
      const size_t low = static_cast<size_t>(at);
      const size_t high = std::min(low + 1, distances.size() - 1);
      return distances[low] + (at - static_cast<double>(low)) * (distances[high] - distances[low]);
    };
    return Interval{quantile(tail), quantile(1 - tail)};
  });
}

std::string SampleWarning(int64_t n_real, int64_t n_generated, int64_t dim) {
  if (std::min(n_real, n_generated) > dim) return "";
  return absl::StrCat("only ", std::min(n_real, n_generated), " clips in ",
                      n_real <= n_generated ? "the real set" : "the generated set", " for ", dim,
                      " features: the covariance is singular and the distance is biased upwards, so it "
                      "only ranks sets of the same size");
}

}  // namespace wanlite
