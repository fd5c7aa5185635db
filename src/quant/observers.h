// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Magnitudes of values, collected in constant memory, and the ranges that calibration derives from
// them.
#ifndef WANLITE_SRC_QUANT_OBSERVERS_H_
#define WANLITE_SRC_QUANT_OBSERVERS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace wanlite {

class Calibration;  // src/proto/quant.proto

// A weighted histogram of |x|. Its bins begin at zero and are as wide as a power of two makes them:
// when a larger value comes, neighbours are merged, so that what it holds in the end does not
// depend on the order of the values.
class MagnitudeHistogram {
 public:
  // At least half of them lie below the largest magnitude.
  static constexpr int64_t kBins = 16384;
  // Up to so many values are kept beside the bins, for exact percentiles.
  static constexpr int64_t kKept = 65536;

  MagnitudeHistogram();
  // values: fp32, contiguous, finite. weight: of each of them, positive.
  void Add(const at::Tensor& values, double weight);

  double max() const { return max_; }
  double total() const { return total_; }  // sum of the weights
  double bin_width() const;
  const std::vector<double>& bins() const { return bins_; }

  // The smallest magnitude that at least `percent` of the weight does not exceed, 0 < percent <=
  // 100. Exact for kKept values or fewer, else interpolated within a bin.
  double Percentile(double percent) const;
  // The clipping range of least squared error for codes -levels ... levels, of 128 candidates from
  // max() to max() / 256. Values count as spread evenly over their bin.
  double LeastSquares(int64_t levels) const;
  // The range whose histogram of levels + 1 steps is nearest to the true one, in Kullback-Leibler
  // divergence, as TensorRT does it (Migacz, "8-bit inference with TensorRT", GTC 2017): bins are
  // merged to 2048, of which candidates take the first levels + 1 or more; what is clipped counts
  // in the last one.
  double LeastDivergence(int64_t levels) const;

 private:
  double max_ = 0;
  double total_ = 0;
  int exponent_;  // the bins end at 2^exponent_
  std::vector<double> bins_;
  std::vector<std::pair<float, double>> kept_;  // empty once there were too many
  bool keeps_ = true;
};

// By the method of a resolved calibration, for codes -127 ... 127; 0 when all values are zero.
double FindRange(const MagnitudeHistogram& values, const Calibration& calibration);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_OBSERVERS_H_
