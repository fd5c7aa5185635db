// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/attention.h"

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/wan/rope.h"
#include "src/ops/ops.h"

namespace wanlite::wan {

RmsNorm::RmsNorm(int64_t channels, double eps, at::ScalarType dtype) : eps_(eps) {
  weight_ = register_parameter("weight", nn::NewTensor({channels}, dtype));
}

at::Tensor RmsNorm::forward(const at::Tensor& x) const {
  return at::rms_norm(x, weight_.sizes(), weight_.to(x.scalar_type()), eps_);
}

at::Tensor RmsNorm::ForwardRotary(const at::Tensor& x, const at::Tensor& rotary) const {
  const at::Tensor weight = weight_.to(at::kFloat);
  return rotary.defined() ? ops::RmsNormRotary(x, weight, rotary, eps_)
                          : ops::RmsNorm(x, weight, eps_, x.scalar_type());
}

Attention::Attention(const AttentionOptions& options) : head_dim_(options.head_dim) {
  const int64_t inner = options.num_heads * options.head_dim;
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, std::make_shared<nn::Linear>(in, out, true, options.dtype));
  };
  q_ = linear("q", options.dim, inner);
  const int64_t context = options.context_dim > 0 ? options.context_dim : options.dim;
  k_ = linear("k", context, inner);
  v_ = linear("v", context, inner);
  o_ = linear("o", inner, options.dim);
  if (options.qk_norm) {
    const auto norm = [&](const char* name) {
      return register_module(name, std::make_shared<RmsNorm>(inner, options.eps, options.dtype));
    };
    norm_q_ = norm("norm_q");
    norm_k_ = norm("norm_k");
  }
}

bool Attention::RunsOwnKernels(const at::Tensor& q) const {
  return q_->weight().input_form() != nullptr && q.is_cpu() && q.scalar_type() == at::kFloat &&
         !at::GradMode::is_enabled() && ops::AttentionFits(head_dim_);
}

at::Tensor Attention::forward(const Activation& x, const Activation& context,
                              const at::Tensor& rotary) const {
  at::Tensor q = q_->forward(x);
  at::Tensor k = k_->forward(context);
  at::Tensor v = v_->forward(context);
  if (RunsOwnKernels(q) && (norm_q_ != nullptr || !rotary.defined())) {
    if (norm_q_ != nullptr) {
      q = norm_q_->ForwardRotary(q, rotary);
      k = norm_k_->ForwardRotary(k, rotary);
    }
    return o_->forward(ops::Attention(q, k, v, head_dim_));
  }
  // The norm comes before the split: its statistic spans all heads.
  if (norm_q_ != nullptr) {
    q = norm_q_->forward(q);
    k = norm_k_->forward(k);
  }
  TORCH_CHECK(q.size(-1) % head_dim_ == 0, "attention: q has ", q.size(-1),
              " channels, which is no multiple of head_dim ", head_dim_);
  q = q.unflatten(-1, {-1, head_dim_});  // [batch, tokens, heads, head_dim]
  k = k.unflatten(-1, {-1, head_dim_});
  v = v.unflatten(-1, {-1, head_dim_});
  if (rotary.defined()) {
    q = ApplyRotary(q, rotary);
    k = ApplyRotary(k, rotary);
  }
  const at::Tensor y =
      at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));
  return o_->forward(y.transpose(1, 2).flatten(2));
}

void Attention::Describe(TopologyBuilder& topology, absl::string_view path,
                         TokenStream key_stream) const {
  const auto join = [&](absl::string_view leaf) { return absl::StrCat(path, ".", leaf); };
  topology.Linear(join("q"), join("q"), TokenStream::kVideo);
  topology.Linear(join("k"), join("k"), key_stream);
  topology.Linear(join("v"), join("v"), key_stream);
  topology.Linear(join("o"), join("o"), TokenStream::kVideo);

  AxisGroup heads;
  heads.name = join("heads");
  heads.kind = join("heads");
  heads.units = num_heads();
  for (const char* leaf : {"q", "k", "v"}) {
    heads.refs.push_back({join(leaf), /*dim=*/0, head_dim_, AxisRole::kSliced});
  }
  heads.refs.push_back({join("o"), /*dim=*/1, head_dim_, AxisRole::kSliced});
  if (norm_q_ != nullptr) {
    for (const char* leaf : {"norm_q.weight", "norm_k.weight"}) {
      heads.refs.push_back({join(leaf), /*dim=*/0, head_dim_, AxisRole::kRmsNormalized});
    }
  }
  topology.Group(std::move(heads));

  topology.Attention({join("q"), TokenStream::kVideo, key_stream, join("heads")});
  if (norm_q_ != nullptr) {
    topology.Norm(join("norm_q.weight"), ElementwiseOp::kRmsNorm, TokenStream::kVideo);
    topology.Norm(join("norm_k.weight"), ElementwiseOp::kRmsNorm, key_stream);
  }
}

}  // namespace wanlite::wan
