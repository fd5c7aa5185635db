// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <webp/encode.h>
#include <webp/mux.h>

#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "src/runner/video_encoders.h"

namespace wanlite {
namespace {

struct EncoderDeleter {
  void operator()(WebPAnimEncoder* encoder) const { WebPAnimEncoderDelete(encoder); }
};

}  // namespace

absl::StatusOr<std::string> EncodeWebp(const RgbFrames& frames, FrameRate rate, int quality) {
  if (frames.width > WEBP_MAX_DIMENSION || frames.height > WEBP_MAX_DIMENSION) {
    return absl::InvalidArgumentError(absl::StrCat("WebP takes at most ", WEBP_MAX_DIMENSION,
                                                   " pixels a side; found ", frames.width, "x",
                                                   frames.height));
  }
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
  std::string bytes(reinterpret_cast<const char*>(data.bytes), data.size);
  WebPDataClear(&data);
  return bytes;
}

}  // namespace wanlite
