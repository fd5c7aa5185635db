// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Batches of clips as tensors.
#ifndef WANLITE_SRC_DIGITS_RENDER_CLIPS_H_
#define WANLITE_SRC_DIGITS_RENDER_CLIPS_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "src/digits/digits.h"

namespace wanlite::digits {

// Windows of clips, all of one size: fp32 [specs, 3, frames, height, width] in [-1, 1]. One window
// for each spec, or none: whole clips. On the CPU as RenderClip(); elsewhere by tensor operations,
// the same up to rounding.
at::Tensor RenderClips(const DigitScans& scans, const ClipGeometry& geometry,
                       const std::vector<ClipSpec>& specs,
                       const std::vector<ClipWindow>& windows = {}, at::Device device = at::kCPU);
// What RenderClips() does away from the CPU, on any device.
at::Tensor RenderClipsByTensors(const DigitScans& scans, const ClipGeometry& geometry,
                                const std::vector<ClipSpec>& specs,
                                const std::vector<ClipWindow>& windows, at::Device device);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_RENDER_CLIPS_H_
