// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/frame_strip.h"

#include <ATen/ATen.h>

#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/report/html_page.h"
#include "src/report/number_text.h"
#include "src/video/video_encoders.h"
#include "wanlite/metrics.h"

namespace wanlite::report {
namespace {

constexpr int64_t kClipsPerAnimation = 4;
constexpr int64_t kAnimationWidth = 320;  // pixels of one clip, at most
constexpr int64_t kGap = 2;               // grey pixels between pictures

bool IsVideo(const at::Tensor& frames) {
  return frames.defined() && frames.dim() == 4 && frames.size(3) == 3 &&
         frames.scalar_type() == at::kByte && frames.numel() > 0;
}

// uint8 [F, H, W, 3], reduced to `width` when wider.
at::Tensor Reduced(const at::Tensor& frames, int64_t width) {
  const int64_t height = frames.size(1), from = frames.size(2);
  if (from <= width) return frames.to(at::kCPU).contiguous();
  const int64_t to_height =
      std::max<int64_t>(1, std::llround(static_cast<double>(height * width) / from));
  const at::Tensor planes = frames.to(at::kCPU).permute({0, 3, 1, 2}).to(at::kFloat);
  return at::adaptive_avg_pool2d(planes, {to_height, width})
      .round()
      .clamp(0, 255)
      .to(at::kByte)
      .permute({0, 2, 3, 1})
      .contiguous();
}

// Clips [F, H, W, 3] of one size beside each other.
at::Tensor BesideEachOther(const std::vector<at::Tensor>& clips) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& clip : clips) {
    if (!parts.empty()) {
      parts.push_back(at::full({clip.size(0), clip.size(1), kGap, 3}, 128, at::kByte));
    }
    parts.push_back(clip);
  }
  return at::cat(parts, 2).contiguous();
}

RgbFrames Borrow(const at::Tensor& frames) {
  return {frames.data_ptr<uint8_t>(), frames.size(0), frames.size(1), frames.size(2)};
}

std::string LeftOut(absl::string_view why) {
  return absl::StrCat("<p class=\"none\">", Escape(why), "</p>\n");
}

// frames: uint8 [F, H, W, 3] on the CPU, contiguous.
std::string ImageHtml(const at::Tensor& frames, double fps, int quality, absl::string_view alt,
                      ImageBudget* budget) {
  const FrameRate rate{static_cast<int>(std::lround(std::max(fps, 0.1) * 1000)), 1000};
  const auto bytes = EncodeWebp(Borrow(frames), rate, quality);
  if (!bytes.ok()) return LeftOut(absl::StrCat("Not shown: ", bytes.status().message()));
  const std::string text = absl::Base64Escape(*bytes);
  if (static_cast<int64_t>(text.size()) > budget->remaining) {
    ++budget->left_out;
    return LeftOut("Left out to keep this file small.");
  }
  budget->remaining -= static_cast<int64_t>(text.size());
  return absl::StrCat("<img alt=\"", Escape(alt), "\" width=\"", frames.size(2), "\" height=\"",
                      frames.size(1), "\" src=\"data:image/webp;base64,", text, "\">\n");
}

std::string StripHtml(const at::Tensor& frames, absl::string_view alt, ImageBudget* budget) {
  const std::vector<int64_t> indices = StripIndices(frames.size(0));
  const at::Tensor chosen =
      Reduced(frames.index_select(0, at::tensor(indices).to(frames.device())), kStripFrameWidth);
  const at::Tensor strip = BesideEachOther(chosen.split(1, 0));
  return ImageHtml(strip, 1, 100, alt, budget);
}

std::string AnimationHtml(const std::vector<NamedClip>& clips, double fps, ImageBudget* budget) {
  std::vector<at::Tensor> frames;
  std::string names, spoken;
  for (const NamedClip& clip : clips) {
    frames.push_back(Reduced(clip.frames, kAnimationWidth));
    absl::StrAppend(&names, "<span title=\"", Escape(clip.name), "\">", Escape(clip.name),
                    "</span>");
    absl::StrAppend(&spoken, spoken.empty() ? "" : ", ", clip.name);
  }
  // To see the motion by; the rows of frames are there for the pixels.
  constexpr int kQuality = 80;
  return absl::StrCat(
      "<div class=\"clips\"><div class=\"names\" style=\"grid-template-columns:repeat(",
      clips.size(), ",minmax(0,1fr))\">", names, "</div>\n",
      ImageHtml(BesideEachOther(frames), fps, kQuality,
                absl::StrCat("Animation, from the left: ", spoken), budget),
      "</div>\n");
}

std::string DifferenceLabel(const NamedClip& original, const NamedClip& clip) {
  const auto psnr = Psnr(original.frames, clip.frames);
  std::string text =
      absl::StrCat("difference of ", clip.name, " from the original, \u00d7", kDifferenceGain);
  if (psnr.ok()) {
    absl::StrAppend(&text, "; ",
                    std::isinf(*psnr) ? std::string("identical")
                                      : absl::StrCat("PSNR ", Fixed(*psnr, 2), " dB"));
  }
  return text;
}

}  // namespace

at::Tensor DifferenceFrames(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kFloat) - b.to(at::kFloat))
      .abs()
      .mul(kDifferenceGain)
      .clamp(0, 255)
      .round()
      .to(at::kByte);
}

std::vector<int64_t> StripIndices(int64_t count) {
  std::vector<int64_t> indices;
  const int64_t shown = std::min(count, kStripFrames);
  for (int64_t i = 0; i < shown; ++i) {
    indices.push_back(shown == 1 ? 0 : i * (count - 1) / (shown - 1));
  }
  return indices;
}

std::string FramesHtml(const std::vector<NamedClip>& clips, double fps, ImageBudget* budget) {
  if (clips.empty() || !IsVideo(clips.front().frames)) {
    return LeftOut("No frames: the original was not decoded.");
  }
  const NamedClip& original = clips.front();
  std::string missing, strips;
  std::vector<NamedClip> shown{original};
  for (size_t i = 1; i < clips.size(); ++i) {
    if (!IsVideo(clips[i].frames)) {
      absl::StrAppend(&missing, LeftOut(absl::StrCat(clips[i].name, ": no frames.")));
    } else if (clips[i].frames.sizes() != original.frames.sizes()) {
      absl::StrAppend(&missing, LeftOut(absl::StrCat(clips[i].name, ": of another size than ",
                                                     original.name, ", not compared.")));
    } else {
      shown.push_back(clips[i]);
    }
  }
  for (const NamedClip& clip : shown) {
    absl::StrAppend(&strips, "<div><p class=\"label\">", Escape(clip.name), "</p>",
                    StripHtml(clip.frames, absl::StrCat("Frames of ", clip.name), budget));
    if (&clip != &shown.front()) {
      const std::string label = DifferenceLabel(original, clip);
      absl::StrAppend(&strips, "<p class=\"label\">", Escape(label), "</p>",
                      StripHtml(DifferenceFrames(original.frames, clip.frames), label, budget));
    }
    absl::StrAppend(&strips, "</div>\n");
  }
  std::string animations;
  for (size_t from = 1; from < shown.size(); from += kClipsPerAnimation - 1) {
    const size_t to = std::min(shown.size(), from + kClipsPerAnimation - 1);
    std::vector<NamedClip> group{original};
    group.insert(group.end(), shown.begin() + from, shown.begin() + to);
    absl::StrAppend(&animations, AnimationHtml(group, fps, budget));
  }
  return absl::StrCat(animations, "<div class=\"strips\">", strips, "</div>\n", missing);
}

}  // namespace wanlite::report
