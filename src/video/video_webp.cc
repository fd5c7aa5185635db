// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <webp/encode.h>
#include <webp/mux.h>

#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "src/video/video_encoders.h"

namespace wanlite {
namespace {

struct EncoderDeleter {
  void operator()(WebPAnimEncoder* encoder) const { WebPAnimEncoderDelete(encoder); }
};

struct MuxDeleter {
  void operator()(WebPMux* mux) const { WebPMuxDelete(mux); }
};

// The encoder stores equal neighbours as one frame of as long, and a clip that stands still as a
// picture without a duration. Where it did, a chunk of our own says how many frames there were, and
// at what rate; other programs pass over it.
absl::StatusOr<std::string> WithFrameTimes(const WebPData& file, int64_t count, FrameRate rate) {
  const std::unique_ptr<WebPMux, MuxDeleter> mux(WebPMuxCreate(&file, /*copy_data=*/0));
  if (mux == nullptr) return absl::InternalError("WebP: the file just made cannot be read");
  int stored = 0;
  if (WebPMuxNumChunks(mux.get(), WEBP_CHUNK_ANMF, &stored) != WEBP_MUX_OK || stored == count ||
      count == 1) {
    return std::string(reinterpret_cast<const char*>(file.bytes), file.size);
  }
  const std::string text = absl::StrCat(count, " ", rate.numerator, " ", rate.denominator);
  const WebPData payload{reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  WebPData whole;
  WebPDataInit(&whole);
  if (WebPMuxSetChunk(mux.get(), kWebpTimesChunk, &payload, /*copy_data=*/1) != WEBP_MUX_OK ||
      WebPMuxAssemble(mux.get(), &whole) != WEBP_MUX_OK) {
    return absl::InternalError("WebP: adding the times of the frames failed");
  }
  std::string bytes(reinterpret_cast<const char*>(whole.bytes), whole.size);
  WebPDataClear(&whole);
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> EncodeWebp(const RgbFrames& frames, FrameRate rate, int quality) {
  const auto failed = [](absl::string_view step, absl::string_view why) {
    return absl::InternalError(absl::StrCat("WebP: ", step, " failed: ", why));
  };
  WebPAnimEncoderOptions options;
  WebPConfig config;
  if (!WebPAnimEncoderOptionsInit(&options) || !WebPConfigInit(&config)) {
    return failed("set-up", "libwebp of another version");
  }
  config.lossless = quality >= 100 ? 1 : 0;
  config.quality = static_cast<float>(quality);
  const std::unique_ptr<WebPAnimEncoder, EncoderDeleter> encoder(WebPAnimEncoderNew(
      static_cast<int>(frames.width), static_cast<int>(frames.height), &options));
  if (encoder == nullptr) return failed("set-up", "out of memory");
  const auto milliseconds = [&](int64_t frame) {
    return static_cast<int>(
        std::llround(1000.0 * static_cast<double>(frame) * rate.denominator / rate.numerator));
  };
  for (int64_t i = 0; i < frames.count; ++i) {
    WebPPicture picture;
    if (!WebPPictureInit(&picture)) return failed("set-up", "libwebp of another version");
    picture.width = static_cast<int>(frames.width);
    picture.height = static_cast<int>(frames.height);
    picture.use_argb = 1;
    const bool added =
        WebPPictureImportRGB(&picture, frames.frame(i), static_cast<int>(frames.width * 3)) &&
        WebPAnimEncoderAdd(encoder.get(), &picture, milliseconds(i), &config);
    WebPPictureFree(&picture);
    if (!added) {
      return failed(absl::StrCat("frame ", i), WebPAnimEncoderGetError(encoder.get()));
    }
  }
  WebPData data;
  WebPDataInit(&data);
  if (!WebPAnimEncoderAdd(encoder.get(), nullptr, milliseconds(frames.count), nullptr) ||
      !WebPAnimEncoderAssemble(encoder.get(), &data)) {
    return failed("assembly", WebPAnimEncoderGetError(encoder.get()));
  }
  absl::StatusOr<std::string> bytes = WithFrameTimes(data, frames.count, rate);
  WebPDataClear(&data);
  return bytes;
}

}  // namespace wanlite
