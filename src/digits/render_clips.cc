// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/render_clips.h"

#include <algorithm>

#include "src/core/libtorch.h"

namespace wanlite::digits {
namespace {

constexpr int64_t kScanSide = 8;

ClipWindow WholeClip(const ClipGeometry& geometry) {
  return {0, geometry.frames, 0, 0, geometry.size, geometry.size};
}

}  // namespace

at::Tensor RenderClips(const DigitScans& scans, const ClipGeometry& geometry,
                       const std::vector<ClipSpec>& specs, const std::vector<ClipWindow>& windows,
                       at::Device device) {
  if (!device.is_cpu()) return RenderClipsByTensors(scans, geometry, specs, windows, device);
  const ClipWindow size = windows.empty() ? WholeClip(geometry) : windows.front();
  const at::Tensor clips =
      at::empty({static_cast<int64_t>(specs.size()), 3, size.frames, size.height, size.width});
  for (size_t i = 0; i < specs.size(); ++i) {
    RenderClip(scans, geometry, specs[i], windows.empty() ? size : windows[i],
               clips[static_cast<int64_t>(i)].data_ptr<float>());
  }
  return clips;
}

at::Tensor RenderClipsByTensors(const DigitScans& scans, const ClipGeometry& geometry,
                                const std::vector<ClipSpec>& specs,
                                const std::vector<ClipWindow>& windows, at::Device device) {
  const ClipWindow size = windows.empty() ? WholeClip(geometry) : windows.front();
  const auto n = static_cast<int64_t>(specs.size());
  const double scale = static_cast<double>(kScanSide) / geometry.digit_size;
  // Of the window's left upper pixel in each frame, in scan pixels from the scan's centre.
  std::vector<float> left, top, warp, colour, ink;
  for (size_t i = 0; i < specs.size(); ++i) {
    const ClipSpec& spec = specs[i];
    const ClipWindow window = windows.empty() ? size : windows[i];
    for (int f = 0; f < size.frames; ++f) {
      const double progress =
          geometry.frames > 1 ? static_cast<double>(window.first_frame + f) / (geometry.frames - 1)
                              : 0;
      const auto [x, y] = PositionAt(spec, progress);
      const auto from_centre = [&](int corner, double at) {
        return static_cast<float>((corner + 0.5 - at) * scale - 0.5 * kScanSide);
      };
      left.push_back(from_centre(window.left, x));
      top.push_back(from_centre(window.top, y));
    }
    for (const double value : {spec.warp.uu, spec.warp.uv, spec.warp.vu, spec.warp.vv}) {
      warp.push_back(static_cast<float>(value));
    }
    for (const float value : ColourValues(spec.colour)) colour.push_back(value);
    for (const uint8_t pixel : scans.scans()[spec.scan].pixels) ink.push_back(pixel / 16.0f);
  }
  const auto tensor = [&](const std::vector<float>& values, at::IntArrayRef shape) {
    return at::tensor(values).reshape(shape).to(device);
  };
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const at::Tensor du =
      tensor(left, {n, size.frames, 1, 1}) + at::arange(size.width, options) * scale;
  const at::Tensor dv =
      tensor(top, {n, size.frames, 1, 1}) + at::arange(size.height, options).unsqueeze(1) * scale;
  const std::vector<at::Tensor> w = tensor(warp, {n, 4, 1, 1, 1}).unbind(1);
  // A sampler's coordinates go from -1 to 1 over the scan.
  const double half = 0.5 * kScanSide;
  const at::Tensor grid =
      at::stack({(w[0] * du + w[1] * dv) / half, (w[2] * du + w[3] * dv) / half}, -1);
  const at::Tensor found =
      at::grid_sampler_2d(tensor(ink, {n, 1, kScanSide, kScanSide}), grid.flatten(1, 2),
                          /*interpolation_mode=*/0, /*padding_mode=*/0, /*align_corners=*/false)
          .view({n, 1, size.frames, size.height, size.width});
  // Scans are soft; see RenderClip().
  const at::Tensor drawn = (1.6 * found - 0.2).clamp(0, 1);
  return 2 * drawn * tensor(colour, {n, 3, 1, 1, 1}) - 1;
}

}  // namespace wanlite::digits
