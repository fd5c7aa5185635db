// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/video/video_encoders.h"

namespace wanlite {
namespace {

char ToSample(double value) {
  return static_cast<char>(static_cast<uint8_t>(std::clamp(std::lround(value), 0L, 255L)));
}

}  // namespace

std::string EncodeY4m(const RgbFrames& frames, FrameRate rate) {
  std::string out =
      absl::StrCat("YUV4MPEG2 W", frames.width, " H", frames.height, " F", rate.numerator, ":",
                   rate.denominator, " Ip A1:1 C444 XYSCSS=444 XCOLORRANGE=LIMITED\n");
  const int64_t pixels = frames.height * frames.width;
  out.reserve(out.size() + static_cast<size_t>(frames.count * (6 + 3 * pixels)));
  for (int64_t i = 0; i < frames.count; ++i) {
    out += "FRAME\n";
    const size_t start = out.size();
    out.resize(start + static_cast<size_t>(3 * pixels));
    char* y_plane = out.data() + start;
    char* cb_plane = y_plane + pixels;
    char* cr_plane = cb_plane + pixels;
    const uint8_t* rgb = frames.frame(i);
    // ITU-R BT.601, 8 bits, limited range.
    for (int64_t p = 0; p < pixels; ++p, rgb += 3) {
      const double luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
      y_plane[p] = ToSample(16 + luma * 219 / 255);
      cb_plane[p] = ToSample(128 + (rgb[2] - luma) / 1.772 * 224 / 255);
      cr_plane[p] = ToSample(128 + (rgb[0] - luma) / 1.402 * 224 / 255);
    }
  }
  return out;
}

}  // namespace wanlite
