// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The two building bricks of the causal video VAE: a convolution that never looks at later frames,
// and the cache that lets a video go through such convolutions chunk after chunk.
#ifndef WANLITE_SRC_MODEL_WAN_CAUSAL_CONV3D_H_
#define WANLITE_SRC_MODEL_WAN_CAUSAL_CONV3D_H_

#include <torch/nn/module.h>

#include <array>
#include <cstdint>
#include <vector>

namespace wanlite::wan {

// The last frames that every causal layer has seen of one video. A video may be cut into chunks of
// frames; fed one after the other with the same cache they give what the whole video gives at once.
// Layers ask for their slots in forward order, which must be the same for all chunks.
class FrameCache {
 public:
  // To be called before each chunk.
  void BeginChunk() {
    next_ = 0;
    ++chunks_;
  }
  bool first_chunk() const { return chunks_ <= 1; }
  // The slot of the layer that asks: undefined in the first chunk, later what the layer left there.
  at::Tensor& Next() {
    if (next_ == slots_.size()) slots_.emplace_back();
    return slots_[next_++];
  }

 private:
  std::vector<at::Tensor> slots_;
  size_t next_ = 0;
  int64_t chunks_ = 0;
};

// 3-D convolution. x: [B, in, T, H, W]; weight: [out, in, kt, kh, kw]; bias: [out]. LibTorch gives
// small ones in fp32 to a matrix product over copies of its input (below 20,480 rows of an image,
// counted over channels and frames); without gradients oneDNN's direct convolution takes those too.
at::Tensor Conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  at::IntArrayRef stride, at::IntArrayRef padding);

// 3-D convolution, causal in time: output frame t sees input frames t-kernel_t+1..t, zeros before
// the first one. "Same" zero padding in space. Parameters weight [out, in, kt, kh, kw] and bias
// [out].
class CausalConv3d : public torch::nn::Module {
 public:
  // kernel: (t, h, w), odd in h and w. time_stride applies to Convolve() alone.
  CausalConv3d(int64_t in_channels, int64_t out_channels, std::array<int64_t, 3> kernel,
               int64_t time_stride = 1);

  // x: [B, in, T, H, W] -> [B, out, T, H, W]. cache: null when x is the whole video.
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const;
  // Without padding in time: x already starts with the frames of history.
  // x: [B, in, T, H, W] -> [B, out, (T - kernel_t) / time_stride + 1, H, W].
  at::Tensor Convolve(const at::Tensor& x) const;

  // Number of input frames before the current one that an output frame depends on.
  int64_t history() const { return weight_.size(2) - 1; }
  const at::Tensor& weight() const { return weight_; }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  int64_t time_stride_;
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_CAUSAL_CONV3D_H_
