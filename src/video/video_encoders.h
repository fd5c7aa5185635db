// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One function per video format: frames in, the bytes of the file out.
#ifndef WANLITE_SRC_VIDEO_VIDEO_ENCODERS_H_
#define WANLITE_SRC_VIDEO_VIDEO_ENCODERS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace wanlite {

// Borrowed RGB frames, [count, height, width, 3], rows without gaps.
struct RgbFrames {
  const uint8_t* data = nullptr;
  int64_t count = 0;
  int64_t height = 0;
  int64_t width = 0;
  const uint8_t* frame(int64_t index) const { return data + index * height * width * 3; }
};

struct FrameRate {
  int numerator = 16;  // frames in `denominator` seconds
  int denominator = 1;
};

// PNG (1 frame) or animated PNG.
absl::StatusOr<std::string> EncodePng(const RgbFrames& frames, FrameRate rate);
// quality 100 is lossless.
absl::StatusOr<std::string> EncodeWebp(const RgbFrames& frames, FrameRate rate, int quality);
std::string EncodeY4m(const RgbFrames& frames, FrameRate rate);
// Unimplemented when the libav module is not there.
absl::StatusOr<std::string> EncodeMp4(const RgbFrames& frames, FrameRate rate, int quality);
bool Mp4Available();

// A chunk of WebP files whose encoder merged equal frames: the number of frames, and the numerator
// and denominator of the rate, in decimal with spaces between.
inline constexpr char kWebpTimesChunk[] = "WLFR";

}  // namespace wanlite

#endif  // WANLITE_SRC_VIDEO_VIDEO_ENCODERS_H_
