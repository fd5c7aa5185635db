// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/metrics/frames.h"
#include "src/model/tensor_text.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

at::Tensor ToUnitRange(const at::Tensor& clip) {
  const at::Tensor values = clip.to(at::kCPU, at::kDouble);
  return clip.scalar_type() == at::kByte ? values / 255.0 : values;
}

}  // namespace

absl::StatusOr<std::pair<at::Tensor, at::Tensor>> ComparableClips(const at::Tensor& a,
                                                                  const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "clips to compare have different shapes: ", a.defined() ? ShapeText(a.sizes()) : "none",
        " and ", b.defined() ? ShapeText(b.sizes()) : "none"));
  }
  if (a.numel() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("clips to compare are empty, shape ", ShapeText(a.sizes())));
  }
  std::pair<at::Tensor, at::Tensor> clips{ToUnitRange(a), ToUnitRange(b)};
  if (!at::isfinite(clips.first).all().item<bool>() ||
      !at::isfinite(clips.second).all().item<bool>()) {
    return absl::InvalidArgumentError("clips to compare hold NaN or infinity");
  }
  return clips;
}

absl::StatusOr<double> LatentMse(const at::Tensor& a, const at::Tensor& b) {
  WANLITE_ASSIGN_OR_RETURN(auto clips, ComparableClips(a, b));
  return (clips.first - clips.second).square().mean().item<double>();
}

absl::StatusOr<double> Psnr(const at::Tensor& a, const at::Tensor& b) {
  WANLITE_ASSIGN_OR_RETURN(const double mse, LatentMse(a, b));
  if (mse == 0) return std::numeric_limits<double>::infinity();
  return -10.0 * std::log10(mse);
}

}  // namespace wanlite
