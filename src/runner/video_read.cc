// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <numeric>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/runner/video_decoders.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

constexpr int kMaxRate = 240;  // as VideoOptions::fps

absl::string_view Bytes(const FileMapping& mapping) {
  return absl::string_view(mapping.data().data(), mapping.data().size());
}

absl::StatusOr<VideoClip> Decode(absl::string_view bytes) {
  switch (FormatOf(bytes)) {
    case VideoFormat::kPng:
      return DecodePng(bytes);
    case VideoFormat::kWebp:
      return DecodeWebp(bytes);
    case VideoFormat::kY4m:
      return DecodeY4m(bytes);
    case VideoFormat::kMp4:
      return DecodeMp4(bytes);
    case VideoFormat::kUnknown:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("not a PNG, WebP, YUV4MPEG2 or MP4 file; it holds ", bytes.size(),
                   " bytes and begins with '", absl::CHexEscape(bytes.substr(0, 12)), "'"));
}

// Whether ticks of `rate` meet every change of frames; fills the repeats of each frame.
bool TicksMeet(const std::vector<double>& milliseconds, double rate,
               std::vector<int64_t>& repeats) {
  constexpr double kTolerance = 0.5 + 1e-6;
  double time = 0;
  int64_t ticks = 0;
  repeats.clear();
  for (const double duration : milliseconds) {
    time += duration;
    const int64_t tick = std::llround(time * rate / 1000);
    if (tick <= ticks) return false;
    if (std::abs(time - 1000 * static_cast<double>(tick) / rate) > kTolerance) return false;
    repeats.push_back(tick - ticks);
    ticks = tick;
  }
  return true;
}

}  // namespace

VideoFormat FormatOf(absl::string_view bytes) {
  if (absl::StartsWith(bytes, absl::string_view("\x89PNG\r\n\x1a\n", 8))) return VideoFormat::kPng;
  if (bytes.size() >= 12 && absl::StartsWith(bytes, "RIFF") && bytes.substr(8, 4) == "WEBP") {
    return VideoFormat::kWebp;
  }
  if (absl::StartsWith(bytes, "YUV4MPEG2 ")) return VideoFormat::kY4m;
  if (bytes.size() >= 8 && bytes.substr(4, 4) == "ftyp") return VideoFormat::kMp4;
  return VideoFormat::kUnknown;
}

absl::Status CheckClipSize(int64_t frames, int64_t height, int64_t width) {
  if (frames < 1 || height < 1 || width < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a clip of ", frames, " frames of ", width, "x", height, " pixels is empty"));
  }
  if (width > kMaxReadSide || height > kMaxReadSide) {
    return absl::InvalidArgumentError(absl::StrCat(
        "frames of ", width, "x", height, " pixels; at most ", kMaxReadSide, " a side are read"));
  }
  if (frames > kMaxReadFrames) {
    return absl::InvalidArgumentError(
        absl::StrCat(frames, " frames; at most ", kMaxReadFrames, " are read"));
  }
  // No overflow: 2^16 * 2^14 * 2^14 * 3.
  const int64_t bytes = frames * height * width * 3;
  if (bytes > kMaxReadBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(frames, " frames of ", width, "x", height, " pixels are ", bytes,
                     " bytes decoded; at most ", kMaxReadBytes, " are read"));
  }
  return absl::OkStatus();
}

ConstantRate FindConstantRate(const std::vector<double>& milliseconds) {
  ConstantRate found;
  const double total = std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0);
  if (total <= 0) {
    found.repeats.assign(milliseconds.size(), 1);
    return found;
  }
  const double mean = 1000 * static_cast<double>(milliseconds.size()) / total;
  for (int rate = 1; rate <= kMaxRate; ++rate) {
    if (TicksMeet(milliseconds, rate, found.repeats)) {
      found.fps = rate;
      return found;
    }
  }
  found.repeats.assign(milliseconds.size(), 1);
  found.fps = mean;
  return found;
}

void OverBlack(const uint8_t* rgba, int64_t pixels, uint8_t* rgb) {
  for (int64_t i = 0; i < pixels; ++i, rgba += 4, rgb += 3) {
    const int alpha = rgba[3];
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>((rgba[c] * alpha + 127) / 255);
  }
}

absl::StatusOr<VideoClip> ReadVideo(Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const FileMapping> mapping, env.Map(path));
  absl::StatusOr<VideoClip> clip = CatchTorch([&] { return Decode(Bytes(*mapping)); });
  if (!clip.ok()) return Annotate(clip.status(), path);
  return clip;
}

absl::StatusOr<bool> IsVideo(Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const FileMapping> mapping, env.Map(path));
  return FormatOf(Bytes(*mapping)) != VideoFormat::kUnknown;
}

}  // namespace wanlite
