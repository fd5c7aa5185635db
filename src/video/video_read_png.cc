// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// PNG (W3C Recommendation, third edition, which includes animation). Distributions build libpng
// without animation, so the chunks are read here, each frame is made into a PNG of its own, and
// libpng decodes that.

#include <numeric>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/video/png_animation.h"
#include "src/video/video_decoders.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using png::Animation;
using png::Frame;

// The animation's canvas, RGBA.
class Canvas {
 public:
  Canvas(int64_t height, int64_t width)
      : width_(width), pixels_(static_cast<size_t>(height * width * 4), 0) {}

  const std::vector<uint8_t>& pixels() const { return pixels_; }

  // rgba: the decoded frame.
  void Draw(const Frame& frame, const std::vector<uint8_t>& rgba) {
    ForRows(frame, [&](uint8_t* row, int64_t y) {
      const uint8_t* from = rgba.data() + y * frame.width * 4;
      if (frame.blend == png::Blend::kSource) {
        std::copy(from, from + frame.width * 4, row);
        return;
      }
      for (int64_t x = 0; x < frame.width; ++x, from += 4, row += 4) BlendOver(from, row);
    });
  }

  std::vector<uint8_t> Save(const Frame& frame) {
    std::vector<uint8_t> saved;
    ForRows(frame,
            [&](uint8_t* row, int64_t) { saved.insert(saved.end(), row, row + frame.width * 4); });
    return saved;
  }
  void Restore(const Frame& frame, const std::vector<uint8_t>& saved) {
    ForRows(frame, [&](uint8_t* row, int64_t y) {
      const uint8_t* from = saved.data() + y * frame.width * 4;
      std::copy(from, from + frame.width * 4, row);
    });
  }
  void Clear(const Frame& frame) {
    ForRows(frame, [&](uint8_t* row, int64_t) { std::fill(row, row + frame.width * 4, 0); });
  }

 private:
  template <typename Fn>
  void ForRows(const Frame& frame, Fn&& fn) {
    for (int64_t y = 0; y < frame.height; ++y) {
      fn(pixels_.data() + ((frame.y + y) * width_ + frame.x) * 4, y);
    }
  }

  // Source over destination, alpha not premultiplied.
  static void BlendOver(const uint8_t* source, uint8_t* destination) {
    const int alpha = source[3];
    if (alpha == 0) return;
    const int below = destination[3] * (255 - alpha);  // times 255
    const int sum = alpha * 255 + below;
    for (int c = 0; c < 3; ++c) {
      destination[c] =
          static_cast<uint8_t>((source[c] * alpha * 255 + destination[c] * below + sum / 2) / sum);
    }
    destination[3] = static_cast<uint8_t>((sum + 127) / 255);
  }

  int64_t width_;
  std::vector<uint8_t> pixels_;
};

ConstantRate RateOf(const Animation& animation) {
  std::vector<double> milliseconds;
  bool equal = true;
  for (const Frame& frame : animation.frames) {
    milliseconds.push_back(1000.0 * frame.delay_numerator / frame.delay_denominator);
    equal = equal && milliseconds.back() == milliseconds.front();
  }
  ConstantRate rate = FindConstantRate(milliseconds);
  // PNG's delays are exact fractions, so equal ones need no clock to be found.
  if (equal && milliseconds.front() > 0) {
    rate.fps = 1000.0 / milliseconds.front();
    rate.repeats.assign(animation.frames.size(), 1);
  }
  return rate;
}

}  // namespace

absl::StatusOr<VideoClip> DecodePng(absl::string_view bytes) {
  WANLITE_ASSIGN_OR_RETURN(const Animation animation, png::ParseAnimation(bytes));
  const int64_t height = animation.height, width = animation.width;
  const ConstantRate rate = RateOf(animation);
  const int64_t count = std::accumulate(rate.repeats.begin(), rate.repeats.end(), int64_t{0});
  WANLITE_RETURN_IF_ERROR(CheckClipSize(count, height, width));

  Canvas canvas(height, width);
  VideoClip clip;
  clip.fps = rate.fps;
  clip.frames = at::empty({count, height, width, 3}, at::kByte);
  auto* out = clip.frames.data_ptr<uint8_t>();
  const int64_t frame_bytes = height * width * 3;
  for (size_t i = 0; i < animation.frames.size(); ++i) {
    const Frame& frame = animation.frames[i];
    absl::StatusOr<std::vector<uint8_t>> rgba = png::DecodeFrame(animation, frame);
    if (!rgba.ok()) return Annotate(rgba.status(), absl::StrCat("PNG: frame ", i));
    std::vector<uint8_t> saved;
    if (frame.dispose == png::Dispose::kPrevious) saved = canvas.Save(frame);
    canvas.Draw(frame, *rgba);
    OverBlack(canvas.pixels().data(), height * width, out);
    for (int64_t k = 1; k < rate.repeats[i]; ++k) {
      std::copy(out, out + frame_bytes, out + k * frame_bytes);
    }
    out += rate.repeats[i] * frame_bytes;
    // Before the first frame the canvas is clear, so its kPrevious is kBackground as the standard
    // asks.
    if (frame.dispose == png::Dispose::kPrevious) canvas.Restore(frame, saved);
    if (frame.dispose == png::Dispose::kBackground) canvas.Clear(frame);
  }
  return clip;
}

}  // namespace wanlite
