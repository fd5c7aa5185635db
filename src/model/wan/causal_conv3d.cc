// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/causal_conv3d.h"

#include "src/core/libtorch.h"
#include "wanlite/nn.h"

namespace wanlite::wan {

at::Tensor Conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  at::IntArrayRef stride, at::IntArrayRef padding) {
  const bool direct = x.is_cpu() && x.scalar_type() == at::kFloat &&
                      weight.scalar_type() == at::kFloat && !at::GradMode::is_enabled() &&
                      x.numel() > 0 && at::globalContext().hasMKLDNN() &&
                      at::globalContext().userEnabledMkldnn();
  if (!direct) return at::conv3d(x, weight, bias, stride, padding);
  return at::mkldnn_convolution(x.contiguous(), weight.contiguous(), bias, padding, stride,
                                /*dilation=*/{1, 1, 1}, /*groups=*/1);
}

CausalConv3d::CausalConv3d(int64_t in_channels, int64_t out_channels, std::array<int64_t, 3> kernel,
                           int64_t time_stride)
    : time_stride_(time_stride) {
  weight_ = register_parameter(
      "weight", nn::NewTensor({out_channels, in_channels, kernel[0], kernel[1], kernel[2]}));
  bias_ = register_parameter("bias", nn::NewTensor({out_channels}));
}

at::Tensor CausalConv3d::Convolve(const at::Tensor& x) const {
  // Padding in space is left to the convolution, which needs no copy for it.
  return Conv3d(x, weight_, bias_, /*stride=*/{time_stride_, 1, 1},
                /*padding=*/{0, weight_.size(3) / 2, weight_.size(4) / 2});
}

at::Tensor CausalConv3d::forward(const at::Tensor& x, FrameCache* cache) const {
  if (history() == 0) return Convolve(x);
  at::Tensor* slot = cache == nullptr ? nullptr : &cache->Next();
  const at::Tensor padded = slot != nullptr && slot->defined()
                                ? at::cat({*slot, x}, 2)
                                : at::constant_pad_nd(x, {0, 0, 0, 0, history(), 0});
  if (slot != nullptr) *slot = padded.narrow(2, padded.size(2) - history(), history()).clone();
  return Convolve(padded);
}

}  // namespace wanlite::wan
