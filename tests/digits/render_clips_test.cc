// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/render_clips.h"

#include <cmath>

#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "tests/digits/scans_path.h"
#include "tests/testing/catch.h"

namespace wanlite::digits {
namespace {

const DigitScans& ScansToRender() {
  static const DigitScans scans = *DigitScans::Load(PosixEnv(), kScansPath);
  return scans;
}

TEST_CASE("Clips made by tensors are those made pixel by pixel, warped or not, whole or in part") {
  const ClipGeometry g;
  for (const double warp : {0.0, 1.0}) {
    std::vector<ClipSpec> specs;
    std::vector<ClipWindow> windows;
    for (uint64_t seed = 0; seed < 24; ++seed) {
      specs.push_back(SampleClip(ScansToRender(), g, Split::kTrain, Combinations::kAll, seed));
      if (warp > 0) specs.back().warp = SampleWarp(warp, seed);
      Random random(seed);
      windows.push_back({static_cast<int>(random.Below(9)), 9, static_cast<int>(random.Below(33)),
                         static_cast<int>(random.Below(33)), 32, 32});
    }
    for (const std::vector<ClipWindow>& some : {std::vector<ClipWindow>{}, windows}) {
      const at::Tensor pixels = RenderClips(ScansToRender(), g, specs, some);
      const at::Tensor tensors = RenderClipsByTensors(ScansToRender(), g, specs, some, at::kCPU);
      REQUIRE(pixels.sizes() == tensors.sizes());
      CAPTURE(warp, some.size());
      REQUIRE((pixels - tensors).abs().max().item<double>() < 1e-4);
      REQUIRE((pixels > 0).any().item<bool>());
    }
  }
}

TEST_CASE("A warp turns and stretches about the centre, and keeps the ink on the clip") {
  REQUIRE(SampleWarp(0, 7).uu == Approx(1));
  REQUIRE(SampleWarp(0, 7).uv == Approx(0).margin(1e-12));
  const ClipGeometry g;
  ClipSpec spec = SampleClip(ScansToRender(), g, Split::kTrain, Combinations::kAll, 3);
  const double plain = (RenderClips(ScansToRender(), g, {spec}) + 1).sum().item<double>();
  bool differs = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    spec.warp = SampleWarp(1, seed);
    const double area = 1 / (spec.warp.uu * spec.warp.vv - spec.warp.uv * spec.warp.vu);
    const double ink = (RenderClips(ScansToRender(), g, {spec}) + 1).sum().item<double>();
    REQUIRE(ink / plain == Approx(area).epsilon(0.15));
    differs = differs || std::abs(ink / plain - 1) > 0.02;
  }
  REQUIRE(differs);
}

}  // namespace
}  // namespace wanlite::digits
