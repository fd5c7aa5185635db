// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Multi-head attention of the Wan diffusion transformer.
#ifndef WANLITE_SRC_MODEL_WAN_ATTENTION_H_
#define WANLITE_SRC_MODEL_WAN_ATTENTION_H_

#include <torch/nn/module.h>

#include <memory>

#include "wanlite/nn.h"
#include "wanlite/topology.h"

namespace wanlite::wan {

// y = x / sqrt(mean(x^2) + eps) * weight over the last axis. Tensor: weight [channels].
class RmsNorm : public torch::nn::Module {
 public:
  RmsNorm(int64_t channels, double eps, at::ScalarType dtype);
  // x: [..., channels].
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor& weight() { return weight_; }
  // By the library's own kernel, and turned by `rotary` (see Attention) where that is defined. CPU,
  // without gradients.
  at::Tensor ForwardRotary(const at::Tensor& x, const at::Tensor& rotary) const;

 private:
  at::Tensor weight_;
  double eps_;
};

struct AttentionOptions {
  int64_t dim = 0;  // width of the residual stream
  int64_t num_heads = 0;
  int64_t head_dim = 0;
  bool qk_norm = true;
  double eps = 1e-6;
  at::ScalarType dtype = at::kFloat;
  int64_t context_dim = 0;  // width that keys and values are made from; 0: dim
};

// softmax(q k^T / sqrt(head_dim)) v with q and k RMS-normalised over *all* heads' channels
// together. Tensors: q, k, v, o (linears), norm_q.weight, norm_k.weight. The number of heads is
// read from the tensors, so a layer with heads removed runs as it is.
class Attention : public torch::nn::Module {
 public:
  explicit Attention(const AttentionOptions& options);

  // x: [batch, tokens, dim]; context: [batch, context tokens, context_dim], the same activation for
  // self-attention. rotary: complex64 [tokens, head_dim/2], or undefined for none; no mask. Returns
  // [batch, tokens, dim] in x's dtype.
  at::Tensor forward(const Activation& x, const Activation& context,
                     const at::Tensor& rotary) const;

  const nn::Linear& q() const { return *q_; }
  const nn::Linear& k() const { return *k_; }
  const nn::Linear& v() const { return *v_; }
  int64_t num_heads() const { return q_->out_features() / head_dim_; }

  // `path` is this module's below the builder's ("self_attn"), also the prefix of the linears'
  // kinds and of the axis group PATH.heads; key_stream is where keys and values come from.
  void Describe(TopologyBuilder& topology, absl::string_view path, TokenStream key_stream) const;

 private:
  // Whether the library's own kernels run what lies between the linear layers: where those are
  // quantized, so that it is no longer LibTorch's arithmetic anyway.
  bool RunsOwnKernels(const at::Tensor& q) const;

  int64_t head_dim_;
  std::shared_ptr<nn::Linear> q_, k_, v_, o_;
  std::shared_ptr<RmsNorm> norm_q_, norm_k_;  // null without qk_norm
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_ATTENTION_H_
