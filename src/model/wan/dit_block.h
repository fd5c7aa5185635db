// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One block of the Wan diffusion transformer: self-attention, cross-attention to the text,
// feed-forward.
#ifndef WANLITE_SRC_MODEL_WAN_DIT_BLOCK_H_
#define WANLITE_SRC_MODEL_WAN_DIT_BLOCK_H_

#include <torch/nn/module.h>

#include <memory>

#include "src/model/wan/attention.h"
#include "wanlite/nn.h"

namespace wanlite::wan {

// Two linears with an activation between; the original checkpoints number them 0 and 2.
class TwoLinears : public torch::nn::Module {
 public:
  TwoLinears(int64_t in, int64_t hidden, int64_t out, at::ScalarType dtype);
  const std::shared_ptr<nn::Linear>& first() const { return first_; }
  const std::shared_ptr<nn::Linear>& second() const { return second_; }
  // second(gelu(first(x))). Where tokens are quantized each by itself, some at a time, to the same
  // bits: what lies between the layers stays in the cache.
  at::Tensor WithGelu(const Activation& x) const;

 private:
  at::Tensor AfterGelu(const at::Tensor& y) const;
  std::shared_ptr<nn::Linear> first_, second_;
};

struct DitBlockOptions {
  int64_t dim = 0;          // width of the residual stream
  int64_t context_dim = 0;  // of the projected text; 0: dim
  int64_t head_dim = 0;
  int64_t self_attn_heads = 0;
  int64_t cross_attn_heads = 0;
  int64_t ffn_dim = 0;
  bool cross_attn_norm = true;
  bool qk_norm = true;
  double eps = 1e-6;
  at::ScalarType dtype = at::kFloat;
};

// Tensors: modulation [1, 6, dim], self_attn.*, norm3.{weight,bias} [dim] (before cross-attention,
// only with cross_attn_norm), cross_attn.*, ffn.{0,2}.*. modulation and norm3 are fp32 in any
// dtype.
class DitBlock : public torch::nn::Module, public nn::Describable {
 public:
  explicit DitBlock(const DitBlockOptions& options);

  // x: [batch, tokens, dim], the residual stream, in the dtype it is to be kept in.
  // context: [batch, text tokens, context_dim] in the compute dtype, which is that of the linears'
  // inputs. time: fp32 [batch, 1 or tokens, 6, dim], to which the block adds its modulation: shift,
  // scale, gate of self-attention, then of the feed-forward. rotary: see Attention. Returns the new
  // residual stream, in x's dtype.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context, const at::Tensor& time,
                     const at::Tensor& rotary) const;

  int64_t self_attn_heads() const { return self_attn_->num_heads(); }
  int64_t cross_attn_heads() const { return cross_attn_->num_heads(); }
  int64_t ffn_dim() const { return ffn_->first()->out_features(); }

  void Describe(TopologyBuilder& topology) const override;

 private:
  // What the queries of cross-attention read of the residual stream.
  Activation CrossInput(const at::Tensor& x, at::ScalarType compute) const;

  double eps_;
  at::Tensor modulation_;
  std::shared_ptr<Attention> self_attn_, cross_attn_;
  std::shared_ptr<torch::nn::Module> norm3_;  // null without cross_attn_norm
  at::Tensor norm3_weight_, norm3_bias_;
  std::shared_ptr<TwoLinears> ffn_;
};

// LayerNorm(x) * (1 + scale) + shift, in fp32 and without affine parameters. x: [batch, tokens,
// dim]; shift, scale: fp32 [batch, 1 or tokens, dim].
at::Tensor ModulatedLayerNorm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale,
                              double eps);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_DIT_BLOCK_H_
