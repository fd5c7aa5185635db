// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/video.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/video/video_encoders.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kMaxWriteSide = 1 << 15;
constexpr int64_t kMaxWebpSide = 16383;  // 14 bits in its header

std::string Ending(absl::string_view path) {
  const std::string name = Basename(path);
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : absl::AsciiStrToLower(name.substr(dot));
}

// Exact for whole rates; others by the most decimals that the 16 bits of PNG hold: 23.976 comes out
// as 23976:1000.
FrameRate ToRate(double fps) {
  const double rounded = std::round(fps);
  if (rounded >= 1 && std::abs(fps - rounded) < 1e-9) {
    return FrameRate{static_cast<int>(rounded), 1};
  }
  int denominator = 10000;
  while (fps * denominator > 65535) denominator /= 10;
  return FrameRate{static_cast<int>(std::lround(fps * denominator)), denominator};
}

// Where the written picture would be too large, or of a size that the format does not take.
absl::Status CheckWrittenSize(absl::string_view path, absl::string_view ending, int64_t height,
                              int64_t width) {
  if (std::max(height, width) > kMaxWriteSide) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': frames of ", width, "x", height,
                                                   " pixels are larger than ", kMaxWriteSide,
                                                   " a side"));
  }
  if (ending == ".webp" && std::max(height, width) > kMaxWebpSide) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': WebP takes at most ",
                                                   kMaxWebpSide, " pixels a side, found ", width,
                                                   "x", height));
  }
  if (ending == ".mp4" && (width % 2 != 0 || height % 2 != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': MP4 needs even sizes, found ",
                                                   width, "x", height,
                                                   "; write .png or .webp instead"));
  }
  return absl::OkStatus();
}

absl::Status CheckFrames(const at::Tensor& frames) {
  if (!frames.defined() || frames.dim() != 4 || frames.size(3) != 3 || frames.numel() == 0 ||
      frames.scalar_type() != at::kByte || !frames.device().is_cpu()) {
    return absl::InvalidArgumentError(
        absl::StrCat("frames must be uint8 [frames, height, width, 3] on the CPU; found ",
                     frames.defined() ? absl::StrCat(at::toString(frames.scalar_type()), " [",
                                                     absl::StrJoin(frames.sizes(), ", "), "]")
                                      : "none"));
  }
  return absl::OkStatus();
}

// [F, H, W, 3] -> [F, s H, s W, 3], contiguous.
at::Tensor Upscale(const at::Tensor& frames, int64_t scale) {
  if (scale == 1) return frames.contiguous();
  return frames.repeat_interleave(scale, 1).repeat_interleave(scale, 2).contiguous();
}

RgbFrames Borrow(const at::Tensor& frames) {
  return RgbFrames{frames.const_data_ptr<uint8_t>(), frames.size(0), frames.size(1),
                   frames.size(2)};
}

}  // namespace

at::Tensor ToFrames(const at::Tensor& video) {
  TORCH_CHECK(video.dim() == 5 && video.size(0) == 1 && video.size(1) == 3,
              "a decoded video is [1, 3, frames, height, width], found ", video.sizes());
  const at::Tensor unit = ((video.to(at::kCPU, at::kFloat) + 1) / 2).clamp(0, 1);
  // [1, 3, F, H, W] -> [F, H, W, 3]
  return (unit * 255).round().to(at::kByte)[0].permute({1, 2, 3, 0}).contiguous();
}

std::vector<std::string> VideoFormats() {
  std::vector<std::string> formats{".png", ".apng", ".webp", ".y4m"};
  if (Mp4Available()) formats.push_back(".mp4");
  return formats;
}

absl::Status CheckVideoPath(absl::string_view path, const VideoOptions& options, int64_t height,
                            int64_t width) {
  const std::string ending = Ending(path);
  if (!(options.fps >= kMinFps && options.fps <= kMaxFps)) {
    return absl::InvalidArgumentError(absl::StrCat("fps is ", options.fps, ", ",
                                                   ending.empty() ? "a video" : ending, " carries ",
                                                   kMinFps, " to ", kMaxFps));
  }
  if (options.quality < 1 || options.quality > 100) {
    return absl::InvalidArgumentError(
        absl::StrCat("quality is ", options.quality, ", it must lie in [1, 100]"));
  }
  if (options.upscale < 1 || options.upscale > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("upscale is ", options.upscale, ", it must lie in [1, 64]"));
  }
  bool known = ending == ".mp4";
  for (const absl::string_view one : {".png", ".apng", ".webp", ".y4m"}) {
    known = known || ending == std::string(one);
  }
  if (!known) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "': the ending names the video format and must be one of ",
                     absl::StrJoin(VideoFormats(), ", ")));
  }
  if (ending == ".mp4" && !Mp4Available()) {
    return EncodeMp4(RgbFrames{}, FrameRate{}, 1).status();
  }
  return CheckWrittenSize(path, ending, height * options.upscale, width * options.upscale);
}

absl::Status CheckSheetPath(absl::string_view path, const VideoOptions& options) {
  if (Ending(path) != ".png") {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': a contact sheet is a .png"));
  }
  return CheckVideoPath(path, options);
}

namespace {

// WriteVideo() and WriteContactSheet() with frames that are too many for the memory may throw.
absl::Status EncodeAndWrite(Env& env, absl::string_view path, const at::Tensor& frames,
                            const VideoOptions& options) {
  WANLITE_RETURN_IF_ERROR(CheckVideoPath(path, options));
  WANLITE_RETURN_IF_ERROR(CheckFrames(frames));
  WANLITE_RETURN_IF_ERROR(CheckVideoPath(path, options, frames.size(1), frames.size(2)));
  const at::Tensor pixels = Upscale(frames, options.upscale);
  const RgbFrames rgb = Borrow(pixels);
  const FrameRate rate = ToRate(options.fps);
  const std::string ending = Ending(path);
  absl::StatusOr<std::string> bytes;
  if (ending == ".webp") {
    bytes = EncodeWebp(rgb, rate, options.quality);
  } else if (ending == ".y4m") {
    bytes = EncodeY4m(rgb, rate);
  } else if (ending == ".mp4") {
    bytes = EncodeMp4(rgb, rate, options.quality);
  } else {
    bytes = EncodePng(rgb, rate);
  }
  if (!bytes.ok()) return Annotate(bytes.status(), path);
  return env.WriteFileAtomically(path, *bytes);
}

absl::Status LayOutAndWrite(Env& env, absl::string_view path, const at::Tensor& frames,
                            int64_t columns, const VideoOptions& options) {
  WANLITE_RETURN_IF_ERROR(CheckSheetPath(path, options));
  WANLITE_RETURN_IF_ERROR(CheckFrames(frames));
  const int64_t count = frames.size(0), height = frames.size(1), width = frames.size(2);
  if (columns <= 0) {
    columns = static_cast<int64_t>(std::ceil(std::sqrt(
        static_cast<double>(count) * static_cast<double>(height) / static_cast<double>(width))));
  }
  columns = std::min(std::max<int64_t>(columns, 1), count);
  const int64_t rows = (count + columns - 1) / columns;
  constexpr int64_t kGap = 1;
  at::Tensor sheet =
      at::full({1, rows * (height + kGap) - kGap, columns * (width + kGap) - kGap, 3}, 255,
               at::TensorOptions(at::kByte));
  for (int64_t i = 0; i < count; ++i) {
    sheet[0]
        .narrow(0, i / columns * (height + kGap), height)
        .narrow(1, i % columns * (width + kGap), width)
        .copy_(frames[i]);
  }
  return EncodeAndWrite(env, path, sheet, options);
}

}  // namespace

absl::Status WriteVideo(Env& env, absl::string_view path, const at::Tensor& frames,
                        const VideoOptions& options) {
  return CatchTorch([&] { return EncodeAndWrite(env, path, frames, options); });
}

absl::Status WriteContactSheet(Env& env, absl::string_view path, const at::Tensor& frames,
                               int64_t columns, const VideoOptions& options) {
  return CatchTorch([&] { return LayOutAndWrite(env, path, frames, columns, options); });
}

}  // namespace wanlite
