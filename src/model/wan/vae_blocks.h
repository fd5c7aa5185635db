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
#include "src/model/wan/vae_layout.h"

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
  // As the tensors are now.
  virtual int64_t out_channels() const = 0;
  virtual int64_t inner_channels() const { return 0; }  // of residual blocks and attentions
};

// x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1x1 convolution on the shortcut where the
// width changes.
class ResidualBlock : public VaeLayer {
 public:
  explicit ResidualBlock(const VaeLayerSpec& spec);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;
  int64_t out_channels() const override { return conv2_->weight().size(0); }
  int64_t inner_channels() const override { return conv1_->weight().size(0); }

 private:
  std::shared_ptr<ChannelRmsNorm> norm1_, norm2_;
  std::shared_ptr<CausalConv3d> conv1_, conv2_;
  std::shared_ptr<CausalConv3d> shortcut_;  // null when the widths are equal
};

// Self-attention with one head among the positions of each frame.
class FrameAttention : public VaeLayer {
 public:
  explicit FrameAttention(const VaeLayerSpec& spec);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;
  int64_t out_channels() const override { return proj_weight_.size(0); }
  int64_t inner_channels() const override { return proj_weight_.size(1); }

 private:
  std::shared_ptr<ChannelRmsNorm> norm_;
  double scale_;                        // of the scores, 1 / sqrt(inner channels before pruning)
  at::Tensor qkv_weight_, qkv_bias_;    // [3 inner, C, 1, 1], [3 inner]
  at::Tensor proj_weight_, proj_bias_;  // [C, inner, 1, 1], [C]
};

// Halves height and width and, with `temporal`, frames 2k-1 and 2k into one: T = 1 + 2k -> 1 + k.
// The first frame of a video keeps its place and is not mixed in time.
class Downsample : public VaeLayer {
 public:
  explicit Downsample(const VaeLayerSpec& spec);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;
  int64_t out_channels() const override { return weight_.size(0); }

 private:
  at::Tensor weight_, bias_;                 // [out, in, 3, 3], [out]
  std::shared_ptr<CausalConv3d> time_conv_;  // out -> out; null without `temporal`
};

// Doubles height and width, makes fewer channels (half, as published) and, with `temporal`, doubles
// all frames but the first of a video: T = 1 + k -> 1 + 2k. Frames after the first do not see the
// first one in the temporal convolution (the reference starts it with zeros at the second chunk).
class Upsample : public VaeLayer {
 public:
  explicit Upsample(const VaeLayerSpec& spec);
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const override;
  int64_t out_channels() const override { return weight_.size(0); }

 private:
  at::Tensor weight_, bias_;                 // [out, in, 3, 3], [out]
  std::shared_ptr<CausalConv3d> time_conv_;  // in -> 2 in; null without `temporal`
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_VAE_BLOCKS_H_
