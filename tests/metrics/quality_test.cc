// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/metrics.h"

namespace wanlite {
namespace {

constexpr int64_t kFrames = 3, kHeight = 24, kWidth = 20, kChannels = 3;

// The clips of golden.py.
at::Tensor Clip(bool perturbed) {
  at::Tensor clip = at::empty({kFrames, kHeight, kWidth, kChannels}, at::kByte);
  auto* out = clip.data_ptr<uint8_t>();
  for (int64_t f = 0; f < kFrames; ++f)
    for (int64_t h = 0; h < kHeight; ++h)
      for (int64_t w = 0; w < kWidth; ++w)
        for (int64_t c = 0; c < kChannels; ++c) {
          int64_t value = (f * 31 + h * 7 + w * 13 + c * 29 + (h * w) % 17 * 5) % 256;
          if (perturbed) value += (h * 5 + w * 3 + f + c) % 23 - 11;
          *out++ = static_cast<uint8_t>(std::min<int64_t>(255, std::max<int64_t>(0, value)));
        }
  return clip;
}

TEST_CASE("PSNR and SSIM agree with scikit-image") {
  const at::Tensor a = Clip(false);
  const at::Tensor near = Clip(true);
  const at::Tensor reversed = a.flip(0);
  ASSERT_OK_AND_ASSIGN(const double psnr_near, Psnr(a, near));
  CHECK(psnr_near == Approx(31.8077307109618).epsilon(1e-10));
  ASSERT_OK_AND_ASSIGN(const double ssim_near, Ssim(a, near));
  CHECK(ssim_near == Approx(0.9890079005197778).epsilon(1e-9));
  ASSERT_OK_AND_ASSIGN(const double psnr_reversed, Psnr(a, reversed));
  CHECK(psnr_reversed == Approx(9.190499826019167).epsilon(1e-10));
  ASSERT_OK_AND_ASSIGN(const double ssim_reversed, Ssim(a, reversed));
  CHECK(ssim_reversed == Approx(0.318994484818458).epsilon(1e-9));
}

TEST_CASE("uint8 and [0, 1] floats give the same figures") {
  const at::Tensor a = Clip(false), b = Clip(true);
  ASSERT_OK_AND_ASSIGN(const double bytes, Ssim(a, b));
  ASSERT_OK_AND_ASSIGN(const double floats, Ssim(a.to(at::kDouble) / 255, b.to(at::kDouble) / 255));
  CHECK(bytes == Approx(floats).epsilon(1e-12));
}

TEST_CASE("A clip compared with itself has infinite PSNR and SSIM 1") {
  const at::Tensor a = Clip(false);
  ASSERT_OK_AND_ASSIGN(const double psnr, Psnr(a, a));
  CHECK(std::isinf(psnr));
  ASSERT_OK_AND_ASSIGN(const double ssim, Ssim(a, a));
  CHECK(ssim == Approx(1.0).epsilon(1e-12));
}

TEST_CASE("Clips that cannot be compared are refused by name") {
  const at::Tensor a = Clip(false);
  const auto shapes = Psnr(a, a.narrow(0, 0, 2));
  REQUIRE(absl::IsInvalidArgument(shapes.status()));
  CHECK(std::string(shapes.status().message()).find("[2, 24, 20, 3]") != std::string::npos);
  CHECK(absl::IsInvalidArgument(Ssim(a.narrow(1, 0, 8), a.narrow(1, 0, 8)).status()));
  CHECK(absl::IsInvalidArgument(Psnr(a.narrow(0, 0, 0), a.narrow(0, 0, 0)).status()));
  at::Tensor broken = a.to(at::kFloat) / 255;
  broken[0][0][0][0] = std::nan("");
  CHECK(absl::IsInvalidArgument(LatentMse(broken, broken).status()));
}

TEST_CASE("Spread gives order statistics with interpolated quartiles") {
  const Spread spread = SpreadOf({4, 1, 3, 2});
  CHECK(spread.median == 2.5);
  CHECK(spread.min == 1);
  CHECK(spread.max == 4);
  CHECK(spread.quartile_low == 1.75);
  CHECK(spread.quartile_high == 3.25);
  CHECK(spread.runs == 4);
}

TEST_CASE("Peak memory sees an allocation that was touched") {
  const int64_t before = PeakRssBytes();
  REQUIRE(before > 0);
  const int64_t bytes = int64_t{256} << 20;
  at::Tensor big = at::ones({bytes}, at::kByte);
  CHECK(PeakRssBytes() >= before);
  CHECK(PeakRssBytes() > bytes);
}

}  // namespace
}  // namespace wanlite
