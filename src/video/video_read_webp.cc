// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <webp/demux.h>

#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/core/libtorch.h"
#include "src/video/video_decoders.h"
#include "src/video/video_encoders.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
struct DecoderDeleter {
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};
// Its pointers go into the file; only its own node is to be freed.
struct FrameIterator : WebPIterator {
  FrameIterator() { std::memset(static_cast<WebPIterator*>(this), 0, sizeof(WebPIterator)); }
  ~FrameIterator() { WebPDemuxReleaseIterator(this); }
  FrameIterator(const FrameIterator&) = delete;
  FrameIterator& operator=(const FrameIterator&) = delete;
};

absl::Status Broken(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("WebP: ", what));
}

// The frames as they were before our encoder merged equal ones; nothing where the file does not
// say, or says what its durations do not bear out.
std::optional<ConstantRate> WrittenRate(WebPDemuxer* demuxer,
                                        const std::vector<double>& milliseconds) {
  WebPChunkIterator chunk;
  std::memset(&chunk, 0, sizeof(chunk));
  if (!WebPDemuxGetChunk(demuxer, kWebpTimesChunk, 1, &chunk)) return std::nullopt;
  const std::vector<std::string> fields = absl::StrSplit(
      absl::string_view(reinterpret_cast<const char*>(chunk.chunk.bytes), chunk.chunk.size), ' ');
  WebPDemuxReleaseChunkIterator(&chunk);
  std::array<int64_t, 3> numbers{};
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (fields.size() != numbers.size() || !absl::SimpleAtoi(fields[i], &numbers[i]) ||
        numbers[i] < 1 || numbers[i] > kMaxReadFrames) {
      return std::nullopt;
    }
  }
  ConstantRate rate;
  rate.fps = static_cast<double>(numbers[1]) / static_cast<double>(numbers[2]);
  double time = 0;
  int64_t ticks = 0;
  for (const double duration : milliseconds) {
    time += duration;
    const int64_t tick = std::llround(time * rate.fps / 1000);
    rate.repeats.push_back(tick - ticks);
    ticks = tick;
    if (rate.repeats.back() < 1 && milliseconds.size() > 1) return std::nullopt;
  }
  if (milliseconds.size() == 1) rate.repeats = {ticks = numbers[0]};
  return ticks == numbers[0] ? std::optional(rate) : std::nullopt;
}

}  // namespace

absl::StatusOr<VideoClip> DecodeWebp(absl::string_view bytes) {
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  const std::unique_ptr<WebPDemuxer, DemuxerDeleter> demuxer(WebPDemux(&data));
  if (demuxer == nullptr) {
    return Broken(absl::StrCat("broken or truncated; it has ", bytes.size(), " bytes"));
  }
  const int64_t width = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH);
  const int64_t height = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT);
  const int64_t stored = WebPDemuxGetI(demuxer.get(), WEBP_FF_FRAME_COUNT);
  WANLITE_RETURN_IF_ERROR(CheckClipSize(stored, height, width));

  std::vector<double> milliseconds;
  FrameIterator frame;
  for (int more = WebPDemuxGetFrame(demuxer.get(), 1, &frame); more != 0;
       more = WebPDemuxNextFrame(&frame)) {
    milliseconds.push_back(frame.duration);
  }
  if (static_cast<int64_t>(milliseconds.size()) != stored) {
    return Broken(absl::StrCat(milliseconds.size(), " frames of ", stored));
  }
  const ConstantRate rate =
      WrittenRate(demuxer.get(), milliseconds).value_or(FindConstantRate(milliseconds));
  const int64_t count = std::accumulate(rate.repeats.begin(), rate.repeats.end(), int64_t{0});
  WANLITE_RETURN_IF_ERROR(CheckClipSize(count, height, width));

  WebPAnimDecoderOptions options;
  if (!WebPAnimDecoderOptionsInit(&options)) {
    return absl::InternalError("WebP: libwebpdemux of another version");
  }
  options.color_mode = MODE_RGBA;
  options.use_threads = 0;
  const std::unique_ptr<WebPAnimDecoder, DecoderDeleter> decoder(
      WebPAnimDecoderNew(&data, &options));
  if (decoder == nullptr) return Broken("the decoder refuses it");
  VideoClip clip;
  clip.fps = rate.fps;
  clip.frames = at::empty({count, height, width, 3}, at::kByte);
  auto* out = clip.frames.data_ptr<uint8_t>();
  const int64_t frame_bytes = height * width * 3;
  for (size_t i = 0; i < rate.repeats.size(); ++i) {
    uint8_t* rgba = nullptr;  // the decoder's, until the next frame
    int timestamp = 0;
    if (!WebPAnimDecoderGetNext(decoder.get(), &rgba, &timestamp)) {
      return Broken(absl::StrCat("frame ", i, " of ", stored, " is broken"));
    }
    OverBlack(rgba, height * width, out);
    for (int64_t k = 1; k < rate.repeats[i]; ++k) {
      std::memcpy(out + k * frame_bytes, out, static_cast<size_t>(frame_bytes));
    }
    out += rate.repeats[i] * frame_bytes;
  }
  return clip;
}

}  // namespace wanlite
