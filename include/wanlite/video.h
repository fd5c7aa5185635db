// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Frames to files, and files to frames.
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

// Frames a second that every format that is written can carry: PNG holds a delay as a fraction of
// 16-bit numbers, WebP in whole milliseconds.
inline constexpr double kMinFps = 0.01;
inline constexpr double kMaxFps = 240;

struct VideoOptions {
  double fps = 16;   // in [kMinFps, kMaxFps]
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
// name, rate or size. height, width: of the frames to come; 0: not known yet.
absl::Status CheckVideoPath(absl::string_view path, const VideoOptions& options, int64_t height = 0,
                            int64_t width = 0);
// The same for WriteContactSheet.
absl::Status CheckSheetPath(absl::string_view path, const VideoOptions& options);

// Endings that WriteVideo knows here, ".mp4" only where libav is found.
std::vector<std::string> VideoFormats();

// All frames side by side in one PNG, `columns` to a row (0: about as wide as high), for people.
absl::Status WriteContactSheet(Env& env, absl::string_view path, const at::Tensor& frames,
                               int64_t columns = 0, const VideoOptions& options = {});

struct VideoClip {
  at::Tensor frames;  // uint8 [F >= 1, H, W, 3] on the CPU
  double fps = 0;     // 0: the file does not say, as a still image
};

// What ReadVideo takes at most; a larger clip is InvalidArgument before memory is asked for, since
// a file of some kilobytes may promise any number of pixels. All frames together: 291 of 1280x720.
inline constexpr int64_t kMaxReadPixels = int64_t{1} << 28;
inline constexpr int64_t kMaxReadSide = 8192;
inline constexpr int64_t kMaxReadFrames = 65536;

// Reads a clip. The format is told from the first bytes, not from the ending:
//   PNG, animated PNG   up to 8 bits a sample
//   WebP                still or animated, lossy or lossless
//   YUV4MPEG2           8 bits, 4:2:0, 4:2:2, 4:4:4 or mono, limited or full range, read as BT.601
//                       at any size; chroma is repeated, not interpolated
//   MP4                 the first video stream, where this build has its libav module; by the
//                       matrix that the stream names, BT.601 at any size where it names none
// GIF is not read. Transparent pixels are shown on black. Formats that give each frame a duration
// of its own (PNG, WebP) come back with the frames that the file holds, at their mean rate. Only
// where every duration is a multiple of the common one, a frame that lasts k times as long comes
// back k times: WebP stores equal neighbours as one longer frame. WebP of WriteVideo comes back
// with all its frames, merged or not.
//
// The file may be hostile. InvalidArgument names the file for broken, truncated and too large ones
// and for unknown formats; Unimplemented for variants that are not read, and MP4 without libav.
absl::StatusOr<VideoClip> ReadVideo(Env& env, absl::string_view path);

// True when the first bytes are those of a format that ReadVideo knows.
absl::StatusOr<bool> IsVideo(Env& env, absl::string_view path);

}  // namespace wanlite

#endif  // WANLITE_VIDEO_H_
