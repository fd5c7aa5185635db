// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Distances between two sets of features: the Fréchet distance of the Gaussians fitted to them (the
// formula behind FID and FVD) and the unbiased polynomial-kernel distance (KID, KVD). Both compare
// sets, not pairs; what they mean depends on the extractor the features come from, so no number of
// this file may be called FVD by itself.
#ifndef WANLITE_SRC_METRICS_FRECHET_H_
#define WANLITE_SRC_METRICS_FRECHET_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/progress.h"

namespace wanlite {

// Divisor of the covariance. It changes the number: state it beside the number.
enum class CovarianceDivisor {
  kUnbiased,    // n - 1: numpy.cov, TensorFlow-GAN, most FID code
  kPopulation,  // n: StyleGAN-V, cd-fvd
};
absl::string_view CovarianceDivisorName(CovarianceDivisor divisor);

// |mu_r - mu_g|^2 + Tr(S_r + S_g - 2 (S_r S_g)^(1/2)), in float64 (Dowson and Landau 1982; Heusel
// et al. 2017). The trace of the root is taken in its symmetric form, (S_r^(1/2) S_g
// S_r^(1/2))^(1/2), so it is real by construction, and from factors of the covariances, so that it
// costs min(n, d) x min(m, d).
//
// real: floating [n, d]; generated: floating [m, d]. InvalidArgument for other shapes, different d,
// fewer than two rows, or values that are not finite. With fewer rows than d + 1 a covariance is
// singular and the distance is biased upwards: see SampleWarning().
absl::StatusOr<double> FrechetDistance(const at::Tensor& real, const at::Tensor& generated,
                                       CovarianceDivisor divisor = CovarianceDivisor::kUnbiased);

// Unbiased estimate of the squared maximum mean discrepancy with the kernel (x.y / d + 1)^3
// (Binkowski et al. 2018), over all pairs, in float64. May be slightly negative. Same arguments and
// errors.
absl::StatusOr<double> KernelDistance(const at::Tensor& real, const at::Tensor& generated);

// FrechetDistance of `resamples` pairs of sets, both drawn with replacement, in the order of the
// draws. The draws are a function of the two sizes and the seed: generated sets of as many clips
// are drawn alike, so differences of their distances, draw by draw, are a paired bootstrap. The
// bias of small sets is in every resample, so resamples tell the spread, not the truth.
absl::StatusOr<std::vector<double>> FrechetResamples(const at::Tensor& real,
                                                     const at::Tensor& generated,
                                                     CovarianceDivisor divisor, int resamples,
                                                     uint64_t seed,
                                                     const CancellationToken* cancel = nullptr);

struct Interval {
  double low = 0;
  double high = 0;
  double centre = 0;  // mean of the values
};
// What holds the middle `confidence` of the values, moved to have `centre` for the mean.
// InvalidArgument for fewer than two values and a confidence that is not between 0 and 1.
absl::StatusOr<Interval> IntervalAround(double centre, std::vector<double> values,
                                        double confidence);

// Empty when both sets are larger than the feature width, else a sentence that says which is not.
std::string SampleWarning(int64_t n_real, int64_t n_generated, int64_t dim);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_FRECHET_H_
