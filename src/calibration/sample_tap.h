// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Recorded inputs sent through a leased block, and who looks at what its layers read meanwhile.
#ifndef WANLITE_SRC_CALIBRATION_SAMPLE_TAP_H_
#define WANLITE_SRC_CALIBRATION_SAMPLE_TAP_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/activation_stream.h"
#include "wanlite/linear_tap.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"

namespace wanlite {

// Which of `bins` parts of its trajectory each sample is in: distinct timesteps in ascending order,
// shared out evenly. Fewer parts than asked for where there are fewer timesteps.
std::vector<int64_t> TimestepBins(const std::vector<double>& timesteps, int64_t bins);

// A tap that is told which sample's forward comes next.
class SampleTap : public LinearTap {
 public:
  // weight: SampleInfo::weight. bin: of TimestepBins().
  virtual void BeginSample(double weight, int64_t bin) = 0;
};

// What a layer read as fp32 [rows, in], contiguous; x: floating [..., in]. Throws c10::ValueError,
// naming the layer, for a NaN or an infinity.
at::Tensor InputRows(const LinearInfo& linear, const at::Tensor& x);

// The layers of a block that run, by the input that they read: lists of paths in the order of
// execution. Found by running the first sample.
absl::StatusOr<std::vector<std::vector<std::string>>> InputGroups(const ModelView& model,
                                                                  const BlockLease& block,
                                                                  const ActivationStream& stream);

// Runs all samples through the leased block as it is now, in their order, with the tap on its
// layers.
absl::Status RunTapped(const ModelView& model, const BlockLease& block,
                       const ActivationStream& stream, int64_t timestep_bins, SampleTap& tap,
                       const CancellationToken* cancel);

// FailedPrecondition: no sample has reached the layer.
absl::Status UnreachedError(const std::string& path);

// Calls work(readers) for each input that some of `linears` read, which are of the leased block:
// paths of those that read it, in the order in which inputs are made. So each input is made by the
// layers as work() has left them. stream: stands before the block; null when no sample comes to it.
// FailedPrecondition, naming it, for a layer that no sample reaches.
absl::Status ForEachInput(
    const ModelView& model, const BlockLease& block, const std::vector<LinearInfo>& linears,
    const ActivationStream* stream,
    const std::function<absl::Status(const std::vector<std::string>& readers)>& work);

}  // namespace wanlite

#endif  // WANLITE_SRC_CALIBRATION_SAMPLE_TAP_H_
