// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/vae_blocks.h"

#include <cmath>
#include <string>

#include "src/core/libtorch.h"
#include "wanlite/nn.h"

namespace wanlite::wan {
namespace {

using torch::nn::Module;

// A child without behaviour that gives its children a name segment ("residual" in
// "residual.0.gamma").
std::shared_ptr<Module> AddNode(Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<Module>(name));
}

// 2-D convolution of every frame. weight: [out, in, kh, kw]; x: [B, in, T, H, W]. Written as a 3-D
// convolution, frames need not be folded into the batch, which would copy x twice.
at::Tensor FrameConv(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     int64_t stride, int64_t padding) {
  return Conv3d(x, weight.unsqueeze(2), bias, {1, stride, stride}, {0, padding, padding});
}

}  // namespace

ChannelRmsNorm::ChannelRmsNorm(int64_t channels, int64_t trailing_dims) {
  std::vector<int64_t> shape(1 + trailing_dims, 1);
  shape[0] = channels;
  gamma_ = register_parameter("gamma", nn::NewTensor(shape));
}

at::Tensor ChannelRmsNorm::forward(const at::Tensor& x) const {
  constexpr double kSmallestNorm = 1e-12;  // as torch's normalize
  const bool low_precision = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
  const at::Tensor wide = low_precision ? x.to(at::kFloat) : x;
  // Dividing the (small) norm by sqrt(C) first saves one pass over x.
  const at::Tensor inverse =
      wide.square().sum(1, /*keepdim=*/true).sqrt().clamp_min(kSmallestNorm).reciprocal() *
      std::sqrt(static_cast<double>(x.size(1)));
  const at::Tensor gamma = gamma_.reshape({1, -1, 1, 1, 1});
  return (wide * inverse).to(x.scalar_type()) * gamma;
}

ResidualBlock::ResidualBlock(const VaeLayerSpec& spec) {
  constexpr std::array<int64_t, 3> kCube3{3, 3, 3};
  const int64_t in = spec.in_channels, inner = spec.inner_channels, out = spec.out_channels;
  const std::shared_ptr<Module> residual = AddNode(*this, "residual");
  // 1 and 4 are activations, 5 is a dropout: they have no parameters.
  norm1_ = residual->register_module("0", std::make_shared<ChannelRmsNorm>(in, 3));
  conv1_ = residual->register_module("2", std::make_shared<CausalConv3d>(in, inner, kCube3));
  norm2_ = residual->register_module("3", std::make_shared<ChannelRmsNorm>(inner, 3));
  conv2_ = residual->register_module("6", std::make_shared<CausalConv3d>(inner, out, kCube3));
  if (spec.shortcut) {
    shortcut_ = register_module(
        "shortcut", std::make_shared<CausalConv3d>(in, out, std::array<int64_t, 3>{1, 1, 1}));
  }
}

at::Tensor ResidualBlock::forward(const at::Tensor& x, FrameCache* cache) const {
  at::Tensor y = conv1_->forward(at::silu(norm1_->forward(x)), cache);
  y = conv2_->forward(at::silu(norm2_->forward(y)), cache);
  return y + (shortcut_ ? shortcut_->forward(x, cache) : x);
}

FrameAttention::FrameAttention(const VaeLayerSpec& spec)
    : scale_(1 / std::sqrt(static_cast<double>(spec.published_inner))) {
  const int64_t channels = spec.out_channels, inner = spec.inner_channels;
  norm_ = register_module("norm", std::make_shared<ChannelRmsNorm>(channels, 2));
  const std::shared_ptr<Module> to_qkv = AddNode(*this, "to_qkv");
  qkv_weight_ = to_qkv->register_parameter("weight", nn::NewTensor({3 * inner, channels, 1, 1}));
  qkv_bias_ = to_qkv->register_parameter("bias", nn::NewTensor({3 * inner}));
  const std::shared_ptr<Module> proj = AddNode(*this, "proj");
  proj_weight_ = proj->register_parameter("weight", nn::NewTensor({channels, inner, 1, 1}));
  proj_bias_ = proj->register_parameter("bias", nn::NewTensor({channels}));
}

at::Tensor FrameAttention::forward(const at::Tensor& x, FrameCache*) const {
  const int64_t batch = x.size(0), channels = x.size(1), frames = x.size(2);
  const int64_t positions = x.size(3) * x.size(4);
  // [B, C, T, H, W] -> [B * T, 1, H * W, C]
  const at::Tensor tokens =
      norm_->forward(x).permute({0, 2, 3, 4, 1}).reshape({batch * frames, 1, positions, channels});
  const std::vector<at::Tensor> qkv =
      at::linear(tokens, qkv_weight_.flatten(1), qkv_bias_).chunk(3, -1);
  const at::Tensor mixed =
      at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                       /*is_causal=*/false, scale_);
  const at::Tensor out = at::linear(mixed, proj_weight_.flatten(1), proj_bias_);
  return x + out.reshape({batch, frames, x.size(3), x.size(4), channels}).permute({0, 4, 1, 2, 3});
}

Downsample::Downsample(const VaeLayerSpec& spec) {
  const int64_t out = spec.out_channels;
  const std::shared_ptr<Module> conv = AddNode(*AddNode(*this, "resample"), "1");
  weight_ = conv->register_parameter("weight", nn::NewTensor({out, spec.in_channels, 3, 3}));
  bias_ = conv->register_parameter("bias", nn::NewTensor({out}));
  if (spec.temporal) {
    time_conv_ = register_module(
        "time_conv", std::make_shared<CausalConv3d>(out, out, std::array<int64_t, 3>{3, 1, 1}, 2));
  }
}

at::Tensor Downsample::forward(const at::Tensor& x, FrameCache* cache) const {
  // One column and one row of zeros, on the right and at the bottom only.
  const at::Tensor small = FrameConv(at::constant_pad_nd(x, {0, 1, 0, 1}), weight_, bias_, 2, 0);
  if (!time_conv_) return small;
  at::Tensor* slot = cache == nullptr ? nullptr : &cache->Next();
  const bool first = slot == nullptr || !slot->defined();
  // Windows are frames (0,1,2), (2,3,4), ...: each chunk needs the last frame before it.
  const at::Tensor frames = first ? small : at::cat({*slot, small}, 2);
  if (slot != nullptr) *slot = frames.narrow(2, frames.size(2) - 1, 1).clone();
  if (!first) return time_conv_->Convolve(frames);
  if (frames.size(2) == 1) return frames;
  return at::cat({frames.narrow(2, 0, 1), time_conv_->Convolve(frames)}, 2);
}

Upsample::Upsample(const VaeLayerSpec& spec) {
  const int64_t in = spec.in_channels;
  const std::shared_ptr<Module> conv = AddNode(*AddNode(*this, "resample"), "1");
  weight_ = conv->register_parameter("weight", nn::NewTensor({spec.out_channels, in, 3, 3}));
  bias_ = conv->register_parameter("bias", nn::NewTensor({spec.out_channels}));
  if (spec.temporal) {
    time_conv_ = register_module(
        "time_conv", std::make_shared<CausalConv3d>(in, 2 * in, std::array<int64_t, 3>{3, 1, 1}));
  }
}

at::Tensor Upsample::forward(const at::Tensor& x, FrameCache* cache) const {
  at::Tensor frames = x;
  if (time_conv_) {
    const bool first = cache == nullptr || cache->first_chunk();
    // The first frame of the video stays one frame and takes no part in the convolution.
    const int64_t single = first ? 1 : 0;
    if (x.size(2) == single) {
      // A slot is taken all the same, so that later layers find theirs.
      if (cache != nullptr) cache->Next();
    } else {
      const at::Tensor rest = x.narrow(2, single, x.size(2) - single);
      const at::Tensor doubled = time_conv_->forward(rest, cache);  // [B, 2C, T, H, W]
      // [B, 2, C, T, H, W] -> [B, C, T, 2, H, W]: the halves become even and odd frames.
      const at::Tensor interleaved =
          doubled.unflatten(1, {2, x.size(1)}).permute({0, 2, 3, 1, 4, 5}).flatten(2, 3);
      frames = first ? at::cat({x.narrow(2, 0, 1), interleaved}, 2) : interleaved;
    }
  }
  const at::Tensor big = at::_upsample_nearest_exact3d(
      frames, {frames.size(2), 2 * frames.size(3), 2 * frames.size(4)});
  return FrameConv(big, weight_, bias_, 1, 1);
}

}  // namespace wanlite::wan
