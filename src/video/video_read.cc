// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/video/video_decoders.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

// WebP's clock, and that of programs which round the delays of PNG to it.
constexpr double kClockMilliseconds = 1 + 1e-6;

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
    case VideoFormat::kGif:
      return absl::UnimplementedError(
          "GIF is not read, since its 256 colours would be scored as a fault of the model; convert "
          "it, e.g. ffmpeg -i clip.gif -f apng clip.png");
    case VideoFormat::kUnknown:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("not a PNG, WebP, YUV4MPEG2 or MP4 file; it holds ", bytes.size(),
                   " bytes and begins with '", absl::CHexEscape(bytes.substr(0, 12)), "'"));
}

// The most common duration; durations that differ by the rounding of a clock count as one. The
// shortest of several that are as common.
double CommonDuration(std::vector<double> milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  double common = milliseconds.front();
  size_t most = 0;
  for (size_t first = 0, end = 0; first < milliseconds.size(); ++first) {
    while (end < milliseconds.size() &&
           milliseconds[end] <= milliseconds[first] + kClockMilliseconds) {
      ++end;
    }
    if (end - first <= most) continue;
    most = end - first;
    const auto begin = milliseconds.begin();
    common = std::accumulate(begin + static_cast<int64_t>(first), begin + static_cast<int64_t>(end),
                             0.0) /
             static_cast<double>(most);
  }
  return common;
}

// How often each frame is shown at a tick of the common duration; empty where one duration is no
// multiple of it.
std::vector<int64_t> RepeatsAt(const std::vector<double>& milliseconds) {
  const double common = CommonDuration(milliseconds);
  std::vector<int64_t> repeats;
  double time = 0;
  int64_t ticks = 0;
  for (const double duration : milliseconds) {
    if (!(common > 0) || duration / common > static_cast<double>(kMaxReadFrames)) return {};
    repeats.push_back(std::llround(duration / common));
    ticks += repeats.back();
    time += duration;
  }
  for (size_t i = 0; i < repeats.size(); ++i) {
    const double wanted = time / static_cast<double>(ticks) * static_cast<double>(repeats[i]);
    if (repeats[i] < 1 || std::abs(milliseconds[i] - wanted) > kClockMilliseconds) return {};
  }
  return repeats;
}

// Whether a clock of milliseconds shows these durations at `rate`.
bool MeetsRate(const std::vector<double>& milliseconds, const std::vector<int64_t>& repeats,
               double rate) {
  double time = 0, ticks = 0;
  for (size_t i = 0; i < milliseconds.size(); ++i) {
    time += milliseconds[i];
    ticks += static_cast<double>(repeats[i]);
    if (std::abs(time - 1000 * ticks / rate) > kClockMilliseconds / 2) return false;
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
  if (absl::StartsWith(bytes, "GIF87a") || absl::StartsWith(bytes, "GIF89a")) {
    return VideoFormat::kGif;
  }
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
  // No overflow: 2^16 * 2^13 * 2^13.
  const int64_t pixels = frames * height * width;
  if (pixels > kMaxReadPixels) {
    return absl::InvalidArgumentError(absl::StrCat(frames, " frames of ", width, "x", height,
                                                   " are ", pixels, " pixels; at most ",
                                                   kMaxReadPixels, " are read from one clip"));
  }
  return absl::OkStatus();
}

ConstantRate FindConstantRate(const std::vector<double>& milliseconds) {
  ConstantRate found;
  const double total = std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0);
  if (total > 0) found.repeats = RepeatsAt(milliseconds);
  if (found.repeats.empty()) found.repeats.assign(milliseconds.size(), 1);
  if (total <= 0) return found;
  const auto count = std::accumulate(found.repeats.begin(), found.repeats.end(), int64_t{0});
  found.fps = 1000 * static_cast<double>(count) / total;
  const double whole = std::round(found.fps);
  if (whole >= 1 && MeetsRate(milliseconds, found.repeats, whole)) found.fps = whole;
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
  const VideoFormat format = FormatOf(Bytes(*mapping));
  return format != VideoFormat::kUnknown && format != VideoFormat::kGif;
}

}  // namespace wanlite
