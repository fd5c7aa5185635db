// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Frames of a report, side by side and inside the file.
#ifndef WANLITE_SRC_REPORT_FRAME_STRIP_H_
#define WANLITE_SRC_REPORT_FRAME_STRIP_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite::report {

inline constexpr int64_t kStripFrames = 8;  // at most, spread evenly from the first to the last
inline constexpr int64_t kStripFrameWidth =
    160;  // pixels; wider frames are reduced by area averages
inline constexpr double kDifferenceGain = 4;

// How many more bytes of images a page takes. Images that find no room are replaced by a sentence.
struct ImageBudget {
  int64_t remaining = 0;
  int64_t left_out = 0;  // images that found no room
};

// A model's clip of an example. frames: uint8 [F, H, W, 3]; undefined where there is none.
struct NamedClip {
  std::string name;
  at::Tensor frames;
};

// min(|a - b| * kDifferenceGain, 255), in the shape of both. a, b: uint8, same shape.
at::Tensor DifferenceFrames(const at::Tensor& a, const at::Tensor& b);

// Indices of the frames that a strip shows, ascending. count >= 1.
std::vector<int64_t> StripIndices(int64_t count);

// For one prompt and seed, the original first: an animation with all clips in one image (so that
// they run in step), a row of frames for each, and below each but the first its difference from the
// first. A clip that is undefined, not a video, or of another size than the first is told in words.
std::string FramesHtml(const std::vector<NamedClip>& clips, double fps, ImageBudget* budget);

}  // namespace wanlite::report

#endif  // WANLITE_SRC_REPORT_FRAME_STRIP_H_
