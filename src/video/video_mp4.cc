// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "src/video/libav_module.h"
#include "src/video/video_encoders.h"

namespace wanlite {

bool Mp4Available() { return LoadLibavModule().ok(); }

absl::StatusOr<std::string> EncodeMp4(const RgbFrames& frames, FrameRate rate, int quality) {
  const absl::StatusOr<LibavModule> module = LoadLibavModule();
  if (!module.ok()) {
    return absl::UnimplementedError(
        absl::StrCat(module.status().message(), "; write .png (animated), .webp or .y4m instead"));
  }
  std::string bytes;
  char error[256] = "";
  const auto sink = [](void* context, const void* data, size_t size) {
    static_cast<std::string*>(context)->assign(static_cast<const char*>(data), size);
  };
  if (module->encode(frames.data, frames.count, static_cast<int>(frames.height),
                     static_cast<int>(frames.width), rate.numerator, rate.denominator, quality,
                     sink, &bytes, error, sizeof(error)) != 0) {
    return absl::InternalError(absl::StrCat("MP4: ", error));
  }
  return bytes;
}

}  // namespace wanlite
