// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Sizes of videos that a model's strides and patches divide.
#ifndef WANLITE_SRC_METRICS_SIZE_STEP_H_
#define WANLITE_SRC_METRICS_SIZE_STEP_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// InvalidArgument unless `value` lies in [1, high] and is `offset` more than a multiple of `step`,
// 0 <= offset < step. The message offers the nearest values that are taken.
inline absl::Status CheckSizeStep(absl::string_view what, int64_t value, int64_t step,
                                  int64_t offset, int64_t high) {
  if (value < 1 || value > high) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is ", value, ", it must lie in [1, ", high, "]"));
  }
  const int64_t rest = ((value - offset) % step + step) % step;
  if (rest == 0) return absl::OkStatus();
  const int64_t below = value - rest, above = below + step;
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, ", this model takes multiples of ", step,
                   offset != 0 ? absl::StrCat(" plus ", offset) : "", ": ",
                   below >= 1 ? absl::StrCat(below) : "", below >= 1 && above <= high ? " or " : "",
                   above <= high ? absl::StrCat(above) : ""));
}

// What of a model's shape decides about the sizes of videos.
struct SizeSteps {
  int64_t temporal = 4, spatial = 8;      // strides of the VAE
  std::array<int64_t, 3> patch{1, 1, 1};  // frames, height, width of the latent in one token
  int64_t max_frames = 0, max_side = 0;
};

// All that a video must fit at once, so that a size which an error offers is taken.
inline absl::Status CheckVideoSize(int64_t frames, int64_t height, int64_t width,
                                   const SizeSteps& steps) {
  // Latent frames are a multiple of the patch, and frames one more than a multiple of the stride.
  const int64_t step = steps.temporal * steps.patch[0];
  const int64_t offset = ((1 - steps.temporal) % step + step) % step;
  absl::Status status = CheckSizeStep("frames", frames, step, offset, steps.max_frames);
  if (status.ok()) {
    status = CheckSizeStep("height", height, steps.spatial * steps.patch[1], 0, steps.max_side);
  }
  if (status.ok()) {
    status = CheckSizeStep("width", width, steps.spatial * steps.patch[2], 0, steps.max_side);
  }
  return status;
}

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_SIZE_STEP_H_
