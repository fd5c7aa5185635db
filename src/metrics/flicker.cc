// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/flicker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kMinFrames = 3;  // for a second difference
// Values that are looked at together, so that a large clip does not need several copies in float64.
constexpr int64_t kSliceValues = 1 << 20;

absl::Status CheckFlickerClip(const at::Tensor& clip) {
  const bool shaped = clip.defined() && clip.dim() == 4 && clip.numel() > 0;
  if (!shaped || clip.size(0) < kMinFrames ||
      (clip.scalar_type() != at::kByte && !clip.is_floating_point())) {
    return absl::InvalidArgumentError(
        absl::StrCat("flicker is measured on clips uint8 or floating [frames >= ", kMinFrames,
                     ", height, width, channels], got ",
                     clip.defined() ? absl::StrCat(c10::toString(clip.scalar_type()), " [",
                                                   absl::StrJoin(clip.sizes(), ", "), "]")
                                    : "nothing"));
  }
  return absl::OkStatus();
}

struct Sums {
  double first = 0, second = 0;  // of absolute differences
  double energy = 0, high = 0;   // over all frequencies but zero; above a quarter of the frame rate
};

// x: fp64 [F, values] in [0, 1]
void Add(const at::Tensor& x, Sums& sums) {
  const int64_t frames = x.size(0);
  const at::Tensor difference = x.diff(1, 0);
  sums.first += difference.abs().sum().item<double>();
  sums.second += difference.diff(1, 0).abs().sum().item<double>();
  const at::Tensor spectrum = at::fft_rfft(x - x.mean(0, /*keepdim=*/true), std::nullopt, 0);
  const at::Tensor energy = at::view_as_real(spectrum).square().sum({1, 2});  // [F / 2 + 1]
  for (int64_t k = 1; k < energy.size(0); ++k) {
    // Every frequency but the highest of an even length stands for its mirror image too.
    const double value = (2 * k == frames ? 1 : 2) * energy[k].item<double>();
    sums.energy += value;
    if (4 * k > frames) sums.high += value;
  }
}

}  // namespace

absl::StatusOr<FlickerStatistics> MeasureFlicker(const at::Tensor& clip) {
  WANLITE_RETURN_IF_ERROR(CheckFlickerClip(clip));
  return CatchTorch([&]() -> absl::StatusOr<FlickerStatistics> {
    const at::NoGradGuard no_grad;
    const int64_t frames = clip.size(0);
    const at::Tensor pixels = clip.reshape({frames, -1});  // [F, H * W * C]
    const int64_t values = pixels.size(1);
    const int64_t step = std::max<int64_t>(1, kSliceValues / frames);
    Sums sums;
    for (int64_t begin = 0; begin < values; begin += step) {
      at::Tensor x = pixels.narrow(1, begin, std::min(step, values - begin)).to(at::kDouble);
      if (clip.scalar_type() == at::kByte) {
        x = x / 255;
      } else if (!x.ge(0).logical_and(x.le(1)).all().item<bool>()) {
        return absl::InvalidArgumentError(
            "flicker is measured on values in [0, 1], the clip holds others");
      }
      Add(x, sums);
    }
    FlickerStatistics result;
    result.clips = 1;
    result.frame_difference = sums.first / static_cast<double>((frames - 1) * values);
    result.second_difference = sums.second / static_cast<double>((frames - 2) * values);
    // Without a difference the energy is rounding, and its share would be noise.
    if (sums.first > 0 && sums.energy > 0) result.high_frequency_energy = sums.high / sums.energy;
    return result;
  });
}

FlickerStatistics Combine(const FlickerStatistics& a, const FlickerStatistics& b) {
  FlickerStatistics result;
  result.clips = a.clips + b.clips;
  if (result.clips == 0) return result;
  const double of_b = static_cast<double>(b.clips) / static_cast<double>(result.clips);
  const double of_a = 1 - of_b;
  result.frame_difference = of_a * a.frame_difference + of_b * b.frame_difference;
  result.second_difference = of_a * a.second_difference + of_b * b.second_difference;
  result.high_frequency_energy = of_a * a.high_frequency_energy + of_b * b.high_frequency_energy;
  return result;
}

}  // namespace wanlite
