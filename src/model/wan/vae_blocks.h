// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The layers of the causal video VAE. Features are [B, C, T, H, W]. Every forward takes the cache
// of the video being streamed, or null when x is the whole video.
#ifndef WANLITE_SRC_MODEL_WAN_VAE_BLOCKS_H_
#define WANLITE_SRC_MODEL_WAN_VAE_BLOCKS_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

#include "src/model/wan/causal_conv3d.h"

namespace wanlite::wan {

// x / |x|_2 * sqrt(C) * gamma, the norm being over the channels of each position.
class ChannelRmsNorm : public torch::nn::Module {
 public:
  // Parameter gamma: [channels, 1, ...] with `trailing_dims` ones (3 in the video layers, 2 in the
  // attention, which works on single frames).
  ChannelRmsNorm(int64_t channels, int64_t trailing_dims);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor gamma_;
};

// Anything with video features in and out.
class VaeLayer : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& x, FrameCache* cache) const = 0;
};

// x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1x1 convolution on the shortcut when the
// width changes.
class ResidualBlock : public VaeLayer {
 public:
  ResidualBlock(int64_t in_channels, int64_t out_channels);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;

 private:
  std::shared_ptr<ChannelRmsNorm> norm1_, norm2_;
  std::shared_ptr<CausalConv3d> conv1_, conv2_;
  std::shared_ptr<CausalConv3d> shortcut_;  // null when the widths are equal
};

// Self-attention with one head among the positions of each frame.
class FrameAttention : public VaeLayer {
 public:
  explicit FrameAttention(int64_t channels);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;

 private:
  std::shared_ptr<ChannelRmsNorm> norm_;
  at::Tensor qkv_weight_, qkv_bias_;    // [3C, C, 1, 1], [3C]
  at::Tensor proj_weight_, proj_bias_;  // [C, C, 1, 1], [C]
};

// Halves height and width and, with `temporal`, frames 2k-1 and 2k into one: T = 1 + 2k -> 1 + k.
// The first frame of a video keeps its place and is not mixed in time.
class Downsample : public VaeLayer {
 public:
  Downsample(int64_t channels, bool temporal);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;

 private:
  at::Tensor weight_, bias_;                 // [C, C, 3, 3], [C]
  std::shared_ptr<CausalConv3d> time_conv_;  // null without `temporal`
};

// Doubles height and width, halves the channels and, with `temporal`, doubles all frames but the
// first of a video: T = 1 + k -> 1 + 2k. Frames after the first do not see the first one in the
// temporal convolution (the reference starts it with zeros at the second chunk).
class Upsample : public VaeLayer {
 public:
  Upsample(int64_t channels, bool temporal);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;

 private:
  at::Tensor weight_, bias_;                 // [C / 2, C, 3, 3], [C / 2]
  std::shared_ptr<CausalConv3d> time_conv_;  // C -> 2C; null without `temporal`
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_VAE_BLOCKS_H_
