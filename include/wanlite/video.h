// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Frames to files.
#ifndef WANLITE_VIDEO_H_
#define WANLITE_VIDEO_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

struct VideoOptions {
  double fps = 16;   // in (0, 240]
  int quality = 90;  // 1 to 100, for WebP and MP4; WebP is lossless at 100
  int64_t upscale =
      1;  // every pixel becomes upscale x upscale pixels: small clips on large screens
};

// A decoded video as bytes: round(clamp((x + 1) / 2, 0, 1) * 255).
// video: floating [1, 3, F, H, W] in [-1, 1] -> uint8 [F, H, W, 3] on the CPU. Throws c10::Error on
// another shape.
at::Tensor ToFrames(const at::Tensor& video);

// Writes frames in the format that the path's ending names, atomically:
//   .png  .apng  PNG for one frame, animated PNG for more; lossless
//   .webp        animated WebP
//   .y4m         YUV4MPEG2, 4:4:4, BT.601 limited range: raw video for pipes
//   .mp4         H.264 4:2:0 BT.709 (MPEG-4 part 2 where libav has no H.264 encoder), where this
//   build
//                has its libav module; even width and height
// frames: uint8 [F >= 1, H, W, 3] on the CPU. InvalidArgument for another ending, naming those
// there are; Unimplemented for .mp4 without libav.
absl::Status WriteVideo(Env& env, absl::string_view path, const at::Tensor& frames,
                        const VideoOptions& options);

// The checks of WriteVideo that need no frames, so that a long run does not end in a wrong file
// name.
absl::Status CheckVideoPath(absl::string_view path, const VideoOptions& options);

// Endings that WriteVideo knows here, ".mp4" only where libav is found.
std::vector<std::string> VideoFormats();

// All frames side by side in one PNG, `columns` to a row (0: about as wide as high), for people.
absl::Status WriteContactSheet(Env& env, absl::string_view path, const at::Tensor& frames,
                               int64_t columns = 0, const VideoOptions& options = {});

}  // namespace wanlite

#endif  // WANLITE_VIDEO_H_
