// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Second moments of what linear layers read, and their factor: what GPTQ, SparseGPT, Wanda and
// least squares know of a layer's inputs.
#ifndef WANLITE_SRC_CALIBRATION_INPUT_MOMENTS_H_
#define WANLITE_SRC_CALIBRATION_INPUT_MOMENTS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "src/calibration/sample_tap.h"
#include "wanlite/topology.h"

namespace wanlite {

// Adds weight * rows^T rows to moment, which is fp32 [in, in], or undefined before the first rows.
// rows: fp32 [n, in]. The same rows in the same order give the same bits.
void AddMoment(at::Tensor& moment, const at::Tensor& rows, double weight);

// Second moments of the inputs of some layers, each row by the weight of its sample.
class MomentTap : public SampleTap {
 public:
  enum class Of {
    kFeatures,  // of each feature: the diagonal
    kPairs,     // of each pair of features: the matrix
  };
  // paths: of the layers that are observed.
  MomentTap(std::set<std::string> paths, Of of);

  void BeginSample(double weight, int64_t bin) override { weight_ = weight; }
  // Throws c10::ValueError for a NaN or an infinity.
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override;

  // Weighted rows that the layer has read; 0 when no sample reached it.
  double Rows(const std::string& path) const;
  // Sums, not means; the tap has them no more. FailedPrecondition for a layer that no sample
  // reached. Of kFeatures: fp64 [in]. Of kPairs: fp32 [in, in].
  absl::StatusOr<at::Tensor> Take(const std::string& path);

 private:
  struct Layer {
    double rows = 0;
    at::Tensor sum;
  };
  const std::set<std::string> paths_;
  const Of of_;
  double weight_ = 1;
  std::map<std::string, Layer> layers_;
};

struct MomentSettings {
  double damping = 0.01;  // added to the diagonal, as a part of its mean
  // Columns by falling second moment rather than as they stand.
  bool activation_order = false;
};

// Second moments made ready for working through the columns of a weight matrix one after the other.
// Layers that read one input share it.
class MomentFactor {
 public:
  // moment: fp32 [in, in], symmetric, sum of weighted x^T x; is changed. Holds twice its bytes
  // while it works, and its bytes then. InvalidArgument for inputs that are all zero or not finite,
  // and for a matrix that is not positive definite even with the damping.
  static absl::StatusOr<MomentFactor> Make(at::Tensor moment, const MomentSettings& settings);

  int64_t features() const { return factor_.size(0); }
  bool activation_order() const { return activation_order_; }
  // int64 [in]: the columns, the last to be worked on first.
  const at::Tensor& reversed() const { return reversed_; }
  // fp32 [in, in], lower triangular, in that order: column k is that of L, L L^T = H, divided by
  // L_kk.
  const at::Tensor& factor() const { return factor_; }
  const at::Tensor& diagonal() const { return diagonal_; }  // of L: fp32 [in]
  // bool [in], in that order: features that are zero in all rows.
  const at::Tensor& unread() const { return unread_; }

 private:
  MomentFactor() = default;
  at::Tensor reversed_, factor_, diagonal_, unread_;
  bool activation_order_ = false;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CALIBRATION_INPUT_MOMENTS_H_
