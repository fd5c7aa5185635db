// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The frames of a PNG or animated PNG, as its chunks tell them.
#ifndef WANLITE_SRC_VIDEO_PNG_ANIMATION_H_
#define WANLITE_SRC_VIDEO_PNG_ANIMATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite::png {

// What happens to a frame's region after it was shown.
enum class Dispose { kNone = 0, kBackground = 1, kPrevious = 2 };
enum class Blend { kSource = 0, kOver = 1 };

struct Frame {
  int64_t width = 0, height = 0, x = 0, y = 0;       // inside the canvas
  int delay_numerator = 0, delay_denominator = 100;  // of a second
  Dispose dispose = Dispose::kNone;
  Blend blend = Blend::kSource;
  std::vector<absl::string_view> data;  // pieces of one zlib stream, borrowed from the file
};

struct Animation {
  int64_t width = 0, height = 0;
  absl::string_view header;        // data of IHDR
  absl::string_view palette;       // data of PLTE, or empty
  absl::string_view transparency;  // data of tRNS, or empty
  std::vector<Frame> frames;       // one for a PNG without animation
};

// bytes: of the file, and longer alive than the result. Sizes are checked against the limits of
// ReadVideo, regions against the canvas, checksums of all chunks that are used. A default image
// that is no part of the animation is left out.
absl::StatusOr<Animation> ParseAnimation(absl::string_view bytes);

// RGBA, [height, width, 4] of the frame's own region.
absl::StatusOr<std::vector<uint8_t>> DecodeFrame(const Animation& animation, const Frame& frame);

}  // namespace wanlite::png

#endif  // WANLITE_SRC_VIDEO_PNG_ANIMATION_H_
