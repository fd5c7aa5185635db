// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The convolutions that the networks which look at Wan-Digits clips have in common, and the clips
// they are trained on.
#ifndef WANLITE_SRC_DIGITS_VIDEO_TRUNK_H_
#define WANLITE_SRC_DIGITS_VIDEO_TRUNK_H_

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "src/digits/digits.h"

namespace wanlite::digits {

// Five 3-D convolutions with group norm and SiLU at half the resolution, then the average and the
// maximum over time and space. Tensors: layers.N.{weight,bias,gain,offset}.
class VideoTrunk : public torch::nn::Module {
 public:
  static constexpr int64_t kNormGroups = 4;
  static constexpr int64_t kMaxWidth = 1024;
  static constexpr int64_t kMinFrames = 5;  // for its strides over time
  // InvalidArgument for a width that is no multiple of kNormGroups in [kNormGroups, kMaxWidth].
  static absl::Status CheckWidth(int64_t width);

  // Channels of the first layer. Parameters are not initialised.
  explicit VideoTrunk(int64_t width);
  // video: fp32 [B, 3, F, H, W] in [-1, 1], F >= 5, H and W at least 32 -> [B, feature_width()].
  at::Tensor Features(const at::Tensor& video) const;
  int64_t feature_width() const { return 12 * width_; }
  int64_t width() const { return width_; }

 protected:
  // He-normal convolutions and matrices, unit gains, zero biases, for all parameters of the module,
  // those of derived classes too.
  void InitAll(uint64_t seed);

 private:
  struct Layer {
    at::Tensor weight, bias, gain, offset;
    std::vector<int64_t> stride;
  };
  int64_t width_;
  std::vector<Layer> layers_;
};

struct ClipBatch {
  std::vector<ClipSpec> specs;
  at::Tensor video;  // fp32 [specs, 3, frames, size, size]
};
// Training clips of part `part` of `parts` of a batch, with some noise and varied brightness, so
// that a network looks at shapes and motion rather than at exact values. A function of its
// arguments alone. warp: strength of SampleWarp(), so that it has seen more hands than scans; 0:
// scans as they are.
ClipBatch NoisyClips(const DigitScans& scans, const ClipGeometry& geometry, int64_t batch,
                     int64_t step, int part, int parts, uint64_t seed, double warp,
                     at::Device device);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_VIDEO_TRUNK_H_
