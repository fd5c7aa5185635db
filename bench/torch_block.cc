// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "bench/torch_block.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bench/torch_int8.h"
#include "src/core/libtorch.h"

namespace wanlite::bench {
namespace {

at::Tensor Rotate(const at::Tensor& x, const at::Tensor& rotary) {
  // [1, L, N, Dh], adjacent channels are one complex number.
  const at::Tensor pairs = at::view_as_complex(x.to(at::kFloat).unflatten(-1, {-1, 2}));
  return at::view_as_real(pairs * rotary.unsqueeze(1)).flatten(-2).to(x.scalar_type());
}

}  // namespace

BlockInput BlockInput::To(at::ScalarType dtype) const {
  return {x.to(dtype), context.to(dtype), time, rotary};
}

TorchBlock::TorchBlock(const std::map<std::string, at::Tensor>& tensors, int64_t head_dim,
                       double eps, at::ScalarType dtype)
    : head_dim_(head_dim), eps_(eps) {
  for (const auto& [name, tensor] : tensors) {
    const bool stays = absl::StartsWith(name, "modulation") || absl::StartsWith(name, "norm3.");
    tensors_[name] = tensor.detach().to(stays ? at::kFloat : dtype);
  }
}

void TorchBlock::QuantizeLinears() {
  for (const auto& [name, tensor] : tensors_) {
    if (tensor.dim() != 2 || !absl::EndsWith(name, ".weight")) continue;
    const std::string path = name.substr(0, name.size() - std::string(".weight").size());
    int8_[path] = MakeTorchDynamicInt8(tensor, At(path + ".bias"));
  }
}

at::Tensor TorchBlock::Linear(const std::string& path, const at::Tensor& x) const {
  const auto found = int8_.find(path);
  if (found != int8_.end()) return found->second->Apply(x, std::nullopt);
  return at::linear(x, At(path + ".weight"), At(path + ".bias"));
}

at::Tensor TorchBlock::Attend(const std::string& path, const at::Tensor& x,
                              const at::Tensor& context, const at::Tensor& rotary) const {
  const auto norm = [&](const char* leaf, const at::Tensor& y) {
    const at::Tensor& weight = At(absl::StrCat(path, leaf, ".weight"));
    return at::rms_norm(y, weight.sizes(), weight, eps_);
  };
  const auto heads = [&](const at::Tensor& y) { return y.unflatten(-1, {-1, head_dim_}); };
  at::Tensor q = heads(norm(".norm_q", Linear(path + ".q", x)));
  at::Tensor k = heads(norm(".norm_k", Linear(path + ".k", context)));
  const at::Tensor v = heads(Linear(path + ".v", context));
  if (rotary.defined()) {
    q = Rotate(q, rotary);
    k = Rotate(k, rotary);
  }
  const at::Tensor y =
      at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2));
  return Linear(path + ".o", y.transpose(1, 2).flatten(2));
}

at::Tensor TorchBlock::Forward(const BlockInput& input) const {
  const at::ScalarType dtype = input.x.scalar_type();
  const at::IntArrayRef width = input.x.sizes().slice(2);
  const std::vector<at::Tensor> e = (At("modulation") + input.time).unbind(2);
  const auto modulated = [&](const at::Tensor& y, size_t shift) {
    const at::Tensor normed = at::layer_norm(y.to(at::kFloat), width, {}, {}, eps_);
    return (normed * (1 + e[shift + 1]) + e[shift]).to(dtype);
  };
  at::Tensor x = input.x;
  const at::Tensor y = modulated(x, 0);
  x = (x.to(at::kFloat) + Attend("self_attn", y, y, input.rotary).to(at::kFloat) * e[2]).to(dtype);
  const at::Tensor normed =
      at::layer_norm(x.to(at::kFloat), width, At("norm3.weight"), At("norm3.bias"), eps_);
  x = x + Attend("cross_attn", normed.to(dtype), input.context, {});
  const at::Tensor hidden = at::gelu(Linear("ffn.0", modulated(x, 3)), "tanh");
  return (x.to(at::kFloat) + Linear("ffn.2", hidden).to(at::kFloat) * e[5]).to(dtype);
}

}  // namespace wanlite::bench
