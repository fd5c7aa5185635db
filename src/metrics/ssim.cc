// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment: from error
// visibility to structural similarity, IEEE TIP 13(4), 2004, equation 13.

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/metrics/frames.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kRadius = 5;
constexpr double kSigma = 1.5;
constexpr double kC1 = 0.01 * 0.01;  // (K1 L)^2 with data range L = 1
constexpr double kC2 = 0.03 * 0.03;

// float64 [11], sums to 1.
at::Tensor GaussianWindow() {
  const at::Tensor x = at::arange(-kRadius, kRadius + 1, at::TensorOptions(at::kDouble));
  const at::Tensor weights = (-x.square() / (2 * kSigma * kSigma)).exp();
  return weights / weights.sum();
}

// Windowed mean where the window fits. x: [N, 1, H, W] -> [N, 1, H-10, W-10].
at::Tensor WindowMean(const at::Tensor& x, const at::Tensor& window) {
  const at::Tensor rows = at::conv2d(x, window.view({1, 1, -1, 1}));
  return at::conv2d(rows, window.view({1, 1, 1, -1}));
}

}  // namespace

absl::StatusOr<double> Ssim(const at::Tensor& a, const at::Tensor& b) {
  WANLITE_ASSIGN_OR_RETURN(auto clips, ComparableClips(a, b));
  const int64_t size = 2 * kRadius + 1;
  if (a.dim() != 4 || a.size(1) < size || a.size(2) < size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SSIM needs clips [frames, height, width, channels] of at least ", size, "x", size,
        " pixels; found ", a.dim(), " axes",
        a.dim() == 4 ? absl::StrCat(" of ", a.size(1), "x", a.size(2), " pixels") : ""));
  }
  const at::Tensor window = GaussianWindow();
  double sum = 0;
  // Frame by frame: the five windowed maps of a whole 720p clip would take gigabytes.
  for (int64_t frame = 0; frame < a.size(0); ++frame) {
    // [H, W, C] -> [C, 1, H, W]
    const at::Tensor x = clips.first[frame].permute({2, 0, 1}).unsqueeze(1).contiguous();
    const at::Tensor y = clips.second[frame].permute({2, 0, 1}).unsqueeze(1).contiguous();
    const at::Tensor mean_x = WindowMean(x, window);
    const at::Tensor mean_y = WindowMean(y, window);
    const at::Tensor var_x = WindowMean(x * x, window) - mean_x * mean_x;
    const at::Tensor var_y = WindowMean(y * y, window) - mean_y * mean_y;
    const at::Tensor covariance = WindowMean(x * y, window) - mean_x * mean_y;
    const at::Tensor map = ((2 * mean_x * mean_y + kC1) * (2 * covariance + kC2)) /
                           ((mean_x.square() + mean_y.square() + kC1) * (var_x + var_y + kC2));
    sum += map.mean().item<double>();
  }
  return sum / static_cast<double>(a.size(0));
}

}  // namespace wanlite
