// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How restless a clip is, without a reference and without motion estimation. Real motion moves
// these numbers too, so they mean something against those of real or original clips only.
#ifndef WANLITE_SRC_METRICS_FLICKER_H_
#define WANLITE_SRC_METRICS_FLICKER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace wanlite {

// Means over clips; pixel values in [0, 1].
struct FlickerStatistics {
  int64_t clips = 0;
  double frame_difference = 0;  // mean |x[t+1] - x[t]|
  double second_difference =
      0;  // mean |x[t+2] - 2 x[t+1] + x[t]|: steady change cancels, jitter stays
  // Share of the energy over time (mean of each pixel removed) at frequencies above a quarter of
  // the frame rate, that is in the upper half of what a clip can hold. 0 for clips that stand
  // still.
  double high_frequency_energy = 0;
};

// clip: uint8 or floating in [0, 1], [F >= 3, H, W, C]. InvalidArgument otherwise.
absl::StatusOr<FlickerStatistics> MeasureFlicker(const at::Tensor& clip);

// Weighted by clips.
FlickerStatistics Combine(const FlickerStatistics& a, const FlickerStatistics& b);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_FLICKER_H_
