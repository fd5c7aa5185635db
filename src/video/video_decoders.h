// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One function per video format: the bytes of a file in, frames out. The bytes are not trusted.
// Errors are InvalidArgument or Unimplemented and do not name the file: ReadVideo does.
#ifndef WANLITE_SRC_VIDEO_VIDEO_DECODERS_H_
#define WANLITE_SRC_VIDEO_VIDEO_DECODERS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/video.h"

namespace wanlite {

// kGif is known by name only, for a message that helps.
enum class VideoFormat { kUnknown, kPng, kWebp, kY4m, kMp4, kGif };
VideoFormat FormatOf(absl::string_view bytes);

absl::StatusOr<VideoClip> DecodePng(absl::string_view bytes);
absl::StatusOr<VideoClip> DecodeWebp(absl::string_view bytes);
absl::StatusOr<VideoClip> DecodeY4m(absl::string_view bytes);
absl::StatusOr<VideoClip> DecodeMp4(absl::string_view bytes);

// InvalidArgument outside the limits of video.h. To be asked before memory is.
absl::Status CheckClipSize(int64_t frames, int64_t height, int64_t width);

// How frames of different durations are shown at one rate.
struct ConstantRate {
  double fps = 0;                // 0: there are no durations
  std::vector<int64_t> repeats;  // of each frame, at least 1
};
// milliseconds: of each frame, not negative. Where every duration is a multiple of the most common
// one, within the millisecond to which WebP rounds, frames are repeated to that tick; else there
// are no repeats. The rate is the mean, or the whole rate beside it that meets every change of
// frames to half a millisecond.
ConstantRate FindConstantRate(const std::vector<double>& milliseconds);

// Colours over black. rgba, rgb: `pixels` times 4 and 3 bytes; alpha is not premultiplied.
void OverBlack(const uint8_t* rgba, int64_t pixels, uint8_t* rgb);

}  // namespace wanlite

#endif  // WANLITE_SRC_VIDEO_VIDEO_DECODERS_H_
