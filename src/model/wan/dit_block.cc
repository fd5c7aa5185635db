// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/dit_block.h"

#include <algorithm>
#include <vector>

#include "src/core/libtorch.h"
#include "src/model/norm_for.h"

namespace wanlite::wan {

TwoLinears::TwoLinears(int64_t in, int64_t hidden, int64_t out, at::ScalarType dtype) {
  first_ = register_module("0", std::make_shared<nn::Linear>(in, hidden, true, dtype));
  second_ = register_module("2", std::make_shared<nn::Linear>(hidden, out, true, dtype));
}

at::Tensor TwoLinears::AfterGelu(const at::Tensor& y) const {
  return second_->forward(
      GeluFor({second_.get()}, {y, /*gate=*/{}}, [&] { return at::gelu(y, "tanh"); }));
}

namespace {

// Values between the two layers of a feed-forward at a time: 16 MiB in fp32.
constexpr int64_t kHiddenValues = int64_t{4} << 20;

// Whether the layer reads nothing but tokens that are quantized each by itself, so that some of
// them give their part of the result.
bool ReadsTokens(const nn::Linear& linear) {
  return linear.weight().input_form() != nullptr && !linear.weight().reads_dense_input() &&
         !linear.tapped();
}
// The codes of some tokens lie together, and so do their scales.
bool CanBeCut(const QuantizedInput& input) {
  return input.values.dim() >= 2 && input.scale.defined() &&
         input.scale.dim() == input.values.dim() &&
         input.scale.sizes().slice(0, input.scale.dim() - 1) ==
             input.values.sizes().slice(0, input.values.dim() - 1);
}

}  // namespace

at::Tensor TwoLinears::WithGelu(const Activation& x) const {
  const int64_t tokens_at_once =
      std::max<int64_t>(64, kHiddenValues / std::max<int64_t>(1, first_->out_features()) / 16 * 16);
  if (at::GradMode::is_enabled() || !ReadsTokens(*first_) || !ReadsTokens(*second_)) {
    return AfterGelu(first_->forward(x));
  }
  const InputForm& form = *first_->weight().input_form();
  const QuantizedInput input = x.In(form);
  // Other devices want all tokens at once, and have no cache that a part would stay in.
  if (!input.values.is_cpu() || !CanBeCut(input) || input.values.size(-2) <= tokens_at_once) {
    return AfterGelu(first_->forward(x));
  }
  at::Tensor result;
  const int64_t tokens = input.values.size(-2);
  for (int64_t begin = 0; begin < tokens; begin += tokens_at_once) {
    const int64_t end = std::min(tokens, begin + tokens_at_once);
    const Activation part(form,
                          {input.values.slice(-2, begin, end), input.scale.slice(-2, begin, end)},
                          x.dtype(), [&] { return x.dense().slice(-2, begin, end); });
    const at::Tensor y = AfterGelu(first_->forward(part));
    if (!result.defined()) {
      std::vector<int64_t> shape = y.sizes().vec();
      shape[shape.size() - 2] = tokens;
      result = at::empty(shape, y.options());
    }
    result.slice(-2, begin, end).copy_(y);
  }
  return result;
}

namespace {

at::Tensor ScaledLayerNorm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& factor,
                           double eps) {
  const at::Tensor normed = at::layer_norm(x.to(at::kFloat), {x.size(-1)}, {}, {}, eps);
  return at::addcmul(shift, normed, factor);
}

}  // namespace

at::Tensor ModulatedLayerNorm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale,
                              double eps) {
  return ScaledLayerNorm(x, shift, 1 + scale, eps);
}

DitBlock::DitBlock(const DitBlockOptions& options) : eps_(options.eps) {
  modulation_ = register_parameter("modulation", nn::NewTensor({1, 6, options.dim}));
  AttentionOptions attention{options.dim,      options.self_attn_heads,
                             options.head_dim, options.qk_norm,
                             options.eps,      options.dtype,
                             /*context_dim=*/0};
  self_attn_ = register_module("self_attn", std::make_shared<Attention>(attention));
  if (options.cross_attn_norm) {
    norm3_ = register_module("norm3", std::make_shared<torch::nn::Module>());
    norm3_weight_ = norm3_->register_parameter("weight", nn::NewTensor({options.dim}));
    norm3_bias_ = norm3_->register_parameter("bias", nn::NewTensor({options.dim}));
  }
  attention.num_heads = options.cross_attn_heads;
  attention.context_dim = options.context_dim;
  cross_attn_ = register_module("cross_attn", std::make_shared<Attention>(attention));
  ffn_ = register_module("ffn", std::make_shared<TwoLinears>(options.dim, options.ffn_dim,
                                                             options.dim, options.dtype));
}

Activation DitBlock::CrossInput(const at::Tensor& x, at::ScalarType compute) const {
  if (norm3_ == nullptr) return x.to(compute);
  const at::Tensor weight = norm3_weight_.to(at::kFloat), bias = norm3_bias_.to(at::kFloat);
  return LayerNormFor({&cross_attn_->q()}, {x, weight, bias, eps_, compute}, [&] {
    return at::layer_norm(x.to(at::kFloat), {x.size(-1)}, weight, bias, eps_).to(compute);
  });
}

at::Tensor DitBlock::forward(const at::Tensor& residual, const at::Tensor& context,
                             const at::Tensor& time, const at::Tensor& rotary) const {
  const at::ScalarType stream = residual.scalar_type();
  const at::ScalarType compute = context.scalar_type();
  const std::vector<at::Tensor> e = (modulation_.to(at::kFloat) + time).unbind(2);
  at::Tensor x = residual;

  const auto modulated = [&](std::initializer_list<const nn::Linear*> readers,
                             const at::Tensor& shift, const at::Tensor& scale) {
    const at::Tensor factor = 1 + scale;
    return LayerNormFor(readers, {x, factor, shift, eps_, compute},
                        [&] { return ScaledLayerNorm(x, shift, factor, eps_).to(compute); });
  };
  const Activation self =
      modulated({&self_attn_->q(), &self_attn_->k(), &self_attn_->v()}, e[0], e[1]);
  at::Tensor y = self_attn_->forward(self, self, rotary);
  x = at::addcmul(x.to(at::kFloat), y.to(at::kFloat), e[2]).to(stream);

  x = x + cross_attn_->forward(CrossInput(x, compute), context, /*rotary=*/{});

  y = ffn_->WithGelu(modulated({ffn_->first().get()}, e[3], e[4]));
  return at::addcmul(x.to(at::kFloat), y.to(at::kFloat), e[5]).to(stream);
}

void DitBlock::Describe(TopologyBuilder& topology) const {
  self_attn_->Describe(topology, "self_attn", TokenStream::kVideo);
  cross_attn_->Describe(topology, "cross_attn", TokenStream::kText);
  topology.Linear("ffn.0", "ffn.up", TokenStream::kVideo);
  topology.Linear("ffn.2", "ffn.down", TokenStream::kVideo);
  AxisGroup channels;
  channels.name = "ffn.channels";
  channels.kind = "ffn.channels";
  channels.units = ffn_dim();
  channels.refs = {{"ffn.0", /*dim=*/0, 1, AxisRole::kSliced},
                   {"ffn.2", /*dim=*/1, 1, AxisRole::kSliced}};
  topology.Group(std::move(channels));
  topology.KeepFloat32("modulation");
  if (norm3_ != nullptr) {
    topology.KeepFloat32("norm3");
    topology.Norm("norm3.weight", ElementwiseOp::kLayerNorm, TokenStream::kVideo);
  }

  // The modulated norm is shared by q, k and v: counted once, at q.
  topology.OnInput("self_attn.q", ElementwiseOp::kLayerNorm);
  topology.OnOutput("self_attn.q", ElementwiseOp::kRotary);
  topology.OnOutput("self_attn.k", ElementwiseOp::kRotary);
  topology.OnOutput("self_attn.o", ElementwiseOp::kGatedResidual);
  topology.OnOutput("cross_attn.o", ElementwiseOp::kResidual);
  topology.OnInput("ffn.0", ElementwiseOp::kLayerNorm);
  topology.OnOutput("ffn.0", ElementwiseOp::kGelu);
  topology.OnOutput("ffn.2", ElementwiseOp::kGatedResidual);
}

}  // namespace wanlite::wan
