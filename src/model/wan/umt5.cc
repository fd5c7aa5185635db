// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/umt5.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/norm_for.h"
#include "src/model/wan/block_edits.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

using torch::nn::Module;

bool IsHalf(at::ScalarType dtype) { return dtype == at::kHalf || dtype == at::kBFloat16; }

// fp16 activations of this network overflow; the reference pulls infinities back to a finite value.
at::Tensor ClampFp16(const at::Tensor& x) {
  if (x.scalar_type() != at::kHalf) return x;
  constexpr double kMax = 65504.0, kBelowMax = kMax - 1000.0;
  const at::Tensor limit = at::where(at::isinf(x).any(), at::full({}, kBelowMax, x.options()),
                                     at::full({}, kMax, x.options()));
  return at::clamp(x, -limit, limit);
}

std::shared_ptr<nn::Linear> AddLinear(Module& parent, const std::string& name, int64_t in,
                                      int64_t out) {
  return parent.register_module(name, std::make_shared<nn::Linear>(in, out, /*bias=*/false));
}

void FillNormal(const nn::Linear& linear, double std, at::Generator& generator) {
  const at::Tensor* weight = linear.weight().dense();
  TORCH_CHECK(weight != nullptr, "InitParameters: a weight of format ", linear.weight().format(),
              " has no values to start from");
  weight->normal_(0.0, std, generator);
}

}  // namespace

TokenRmsNorm::TokenRmsNorm(int64_t width, double eps) : eps_(eps) {
  weight_ = register_parameter("weight", nn::NewTensor({width}));
}

at::Tensor TokenRmsNorm::forward(const at::Tensor& x) const {
  const at::Tensor wide = IsHalf(x.scalar_type()) ? x.to(at::kFloat) : x;
  const at::Tensor normal = wide * (wide.square().mean(-1, /*keepdim=*/true) + eps_).rsqrt();
  // Rounded before the weight is applied, as in the reference.
  return (weight_ * normal.to(weight_.scalar_type())).to(x.scalar_type());
}

Activation TokenRmsNorm::For(std::initializer_list<const nn::Linear*> readers,
                             const at::Tensor& x) const {
  return RmsNormFor(readers, {x, weight_.to(at::kFloat), eps_, x.scalar_type()},
                    [&] { return forward(x); });
}

at::Tensor RelativePositionBuckets(int64_t tokens, int64_t num_buckets, int64_t max_distance) {
  const int64_t per_side = num_buckets / 2;
  const int64_t exact = per_side / 2;
  const at::Tensor position = at::arange(tokens, at::kLong);
  const at::Tensor relative = position.unsqueeze(0) - position.unsqueeze(1);  // key - query
  const at::Tensor distance = relative.abs();
  // fp32 throughout, so that rounding at the borders of buckets is the reference's.
  const at::Tensor log_ratio = at::log(distance.clamp_min(1).to(at::kFloat) / exact) /
                               std::log(static_cast<double>(max_distance) / exact) *
                               (per_side - exact);
  const at::Tensor far = (exact + log_ratio.to(at::kLong)).clamp_max(per_side - 1);
  return (at::where(distance < exact, distance, far) + (relative > 0).to(at::kLong) * per_side)
      .flatten();
}

Umt5Block::Umt5Block(const Umt5Config& config, int64_t heads, int64_t ffn_dim)
    : head_dim_(config.d_kv) {
  const int64_t width = config.d_model, inner = heads * config.d_kv;
  norm1_ = register_module("norm1", std::make_shared<TokenRmsNorm>(width, config.eps));
  const auto attn = register_module("attn", std::make_shared<Module>("attn"));
  q_ = AddLinear(*attn, "q", width, inner);
  k_ = AddLinear(*attn, "k", width, inner);
  v_ = AddLinear(*attn, "v", width, inner);
  o_ = AddLinear(*attn, "o", inner, width);
  norm2_ = register_module("norm2", std::make_shared<TokenRmsNorm>(width, config.eps));
  const auto ffn = register_module("ffn", std::make_shared<Module>("ffn"));
  const auto gate = ffn->register_module("gate", std::make_shared<Module>("gate"));
  gate_ = AddLinear(*gate, "0", width, ffn_dim);
  up_ = AddLinear(*ffn, "fc1", width, ffn_dim);
  down_ = AddLinear(*ffn, "fc2", ffn_dim, width);
  const auto position = register_module("pos_embedding", std::make_shared<Module>("pos_embedding"));
  const auto table = position->register_module("embedding", std::make_shared<Module>("embedding"));
  position_bias_ = table->register_parameter("weight", nn::NewTensor({config.num_buckets, heads}));
}

at::Tensor Umt5Block::Attend(const at::Tensor& x, const at::Tensor& buckets,
                             const at::Tensor& keys) const {
  const Activation input = norm1_->For({q_.get(), k_.get(), v_.get()}, x);
  const int64_t tokens = x.size(1);
  // [B, T, N * head_dim] -> [B, N, T, head_dim]
  const auto split = [&](const at::Tensor& y) {
    return y.unflatten(-1, {heads(), head_dim_}).transpose(1, 2);
  };
  at::Tensor bias = position_bias_.t()
                        .index_select(1, buckets)
                        .to(x.scalar_type())
                        .reshape({1, heads(), tokens, tokens});
  if (keys.defined()) {
    // Finite, so that a row without any key gives an average instead of NaN.
    const double lowest = x.scalar_type() == at::kHalf
                              ? -65504.0
                              : static_cast<double>(std::numeric_limits<c10::BFloat16>::lowest());
    bias = bias.masked_fill(keys.logical_not(), lowest);
  }
  const at::Tensor y = at::scaled_dot_product_attention(
      split(q_->forward(input)), split(k_->forward(input)), split(v_->forward(input)), bias,
      /*dropout_p=*/0.0, /*is_causal=*/false, /*scale=*/1.0);
  return o_->forward(y.transpose(1, 2).flatten(2));
}

at::Tensor Umt5Block::forward(const at::Tensor& x, const at::Tensor& buckets,
                              const at::Tensor& keys) const {
  const at::Tensor y = ClampFp16(x + Attend(x, buckets, keys));
  const Activation z = norm2_->For({gate_.get(), up_.get()}, y);
  const at::Tensor gate = gate_->forward(z), up = up_->forward(z);
  const Activation hidden =
      GeluFor({down_.get()}, {gate, up}, [&] { return at::gelu(gate, "tanh") * up; });
  return ClampFp16(y + down_->forward(hidden));
}

void Umt5Block::Describe(TopologyBuilder& topology) const {
  // Kinds start with "text_": a recipe for the diffusion model's attention must not catch these.
  for (const char* name : {"q", "k", "v", "o"}) {
    topology.Linear(absl::StrCat("attn.", name), absl::StrCat("text_attn.", name),
                    TokenStream::kText);
  }
  topology.Linear("ffn.gate.0", "text_ffn.gate", TokenStream::kText);
  topology.Linear("ffn.fc1", "text_ffn.up", TokenStream::kText);
  topology.Linear("ffn.fc2", "text_ffn.down", TokenStream::kText);

  AxisGroup heads_group;
  heads_group.name = "attn.heads";
  heads_group.kind = "text_attn.heads";
  heads_group.units = heads();
  for (const char* name : {"attn.q", "attn.k", "attn.v"}) {
    heads_group.refs.push_back({name, /*dim=*/0, head_dim_, AxisRole::kSliced});
  }
  heads_group.refs.push_back({"attn.o", /*dim=*/1, head_dim_, AxisRole::kSliced});
  heads_group.refs.push_back({"pos_embedding.embedding.weight", /*dim=*/1, 1, AxisRole::kSliced});
  topology.Group(std::move(heads_group));

  AxisGroup channels;
  channels.name = "ffn.channels";
  channels.kind = "text_ffn.channels";
  channels.units = ffn_dim();
  channels.refs = {{"ffn.gate.0", /*dim=*/0, 1, AxisRole::kSliced},
                   {"ffn.fc1", /*dim=*/0, 1, AxisRole::kSliced},
                   {"ffn.fc2", /*dim=*/1, 1, AxisRole::kSliced}};
  topology.Group(std::move(channels));

  topology.Attention({"attn.q", TokenStream::kText, TokenStream::kText, "attn.heads"});
  for (const char* name : {"norm1.weight", "norm2.weight"}) {
    topology.Norm(name, ElementwiseOp::kRmsNorm, TokenStream::kText);
  }
  topology.OnOutput("attn.o", ElementwiseOp::kResidual);
  topology.OnOutput("ffn.gate.0", ElementwiseOp::kGelu);
  topology.OnOutput("ffn.fc1", ElementwiseOp::kGate);
  topology.OnOutput("ffn.fc2", ElementwiseOp::kResidual);
}

absl::StatusOr<std::shared_ptr<Umt5>> Umt5::Create(const Umt5Config& config) {
  WANLITE_RETURN_IF_ERROR(ValidateUmt5Config(config));
  std::shared_ptr<Umt5> encoder;
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] { encoder.reset(new Umt5(config)); }));
  return encoder;
}

Umt5::Umt5(const Umt5Config& config) : Module("Umt5"), config_(config) {
  token_embedding_ = register_module(
      "token_embedding", std::make_shared<nn::Embedding>(config.vocab_size, config.d_model));
  const auto blocks = register_module("blocks", std::make_shared<Module>("blocks"));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const int64_t heads = config.attn_heads.empty() ? config.num_heads : config.attn_heads[i];
    const int64_t ffn_dim = config.ffn_dims.empty() ? config.d_ff : config.ffn_dims[i];
    blocks_.push_back(blocks->register_module(std::to_string(i),
                                              std::make_shared<Umt5Block>(config, heads, ffn_dim)));
  }
  norm_ = register_module("norm", std::make_shared<TokenRmsNorm>(config.d_model, config.eps));
}

at::Tensor Umt5::forward(const at::Tensor& input_ids, const at::Tensor& attention_mask) const {
  return Run({{"input_ids", input_ids}, {"attention_mask", attention_mask}});
}

std::vector<std::string> Umt5::Inputs() const { return {"input_ids", "attention_mask?"}; }

std::string Umt5::Output() const { return "last_hidden_state"; }

std::vector<InputScaling> Umt5::InputScalings() const {
  std::vector<InputScaling> scalings;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const std::string path = absl::StrCat("blocks.", i, ".");
    const auto add = [&](int64_t features, std::initializer_list<const char*> readers,
                         const char* source) {
      InputScaling scaling{path + *readers.begin(), features, {}, {{path + source}}};
      for (const char* reader : readers) scaling.readers.push_back(path + reader);
      scalings.push_back(std::move(scaling));
    };
    const Umt5Block& block = *blocks_[i];
    add(block.q_->in_features(), {"attn.q", "attn.k", "attn.v"}, "norm1.weight");
    add(block.o_->in_features(), {"attn.o"}, "attn.v");
    add(block.up_->in_features(), {"ffn.gate.0", "ffn.fc1"}, "norm2.weight");
    add(block.ffn_dim(), {"ffn.fc2"}, "ffn.fc1");
  }
  return scalings;
}

std::vector<BlockProgram::Step> Umt5::Steps() const {
  std::vector<Step> steps;
  steps.push_back({"", {"x", "buckets", "keys"}});
  for (size_t i = 0; i < blocks_.size(); ++i) {
    steps.push_back({absl::StrCat("blocks.", i), {"x"}, /*residual=*/true});
  }
  steps.push_back({"", {"last_hidden_state"}});
  return steps;
}

void Umt5::RunStep(size_t step, Values& values) const {
  TORCH_CHECK(step < blocks_.size() + 2, "step ", step, " of a program of ", blocks_.size() + 2);
  if (step == 0) return Embed(values);
  const at::Tensor& x = ValueOf(values, "x");
  if (step == blocks_.size() + 1) {
    values["last_hidden_state"] = norm_->forward(x);
    return;
  }
  values["x"] = blocks_[step - 1]->forward(x, ValueOf(values, "buckets"), values["keys"]);
}

void Umt5::Embed(Values& values) const {
  const at::Tensor& input_ids = ValueOf(values, "input_ids");
  TORCH_CHECK(input_ids.dim() == 2 && input_ids.scalar_type() == at::kLong && input_ids.size(1) > 0,
              "Umt5: input_ids must be int64 [B, T > 0], found ", input_ids.scalar_type(), " ",
              input_ids.sizes());
  const at::Device device = token_embedding_->device();
  const at::Tensor attention_mask = values["attention_mask"];
  at::Tensor keys;  // undefined: every token
  if (attention_mask.defined()) {
    TORCH_CHECK(attention_mask.sizes() == input_ids.sizes(), "Umt5: attention_mask must be ",
                input_ids.sizes(), " as input_ids, found ", attention_mask.sizes());
    keys = attention_mask.ne(0).to(device).unsqueeze(1).unsqueeze(1);
  }
  values["keys"] = keys;
  values["buckets"] =
      RelativePositionBuckets(input_ids.size(1), config_.num_buckets, config_.max_distance)
          .to(device);
  values["x"] = token_embedding_->Lookup(input_ids.to(device), norm_->dtype());
}

void Umt5::InitParameters(uint64_t seed) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const double width = static_cast<double>(config_.d_model);
  FillNormal(*token_embedding_, 1.0, generator);
  for (const auto& block : blocks_) {
    const double inner = static_cast<double>(block->heads() * config_.d_kv);
    FillNormal(*block->q_, 1 / std::sqrt(width * static_cast<double>(config_.d_kv)), generator);
    FillNormal(*block->k_, 1 / std::sqrt(width), generator);
    FillNormal(*block->v_, 1 / std::sqrt(width), generator);
    FillNormal(*block->o_, 1 / std::sqrt(inner), generator);
    FillNormal(*block->gate_, 1 / std::sqrt(width), generator);
    FillNormal(*block->up_, 1 / std::sqrt(width), generator);
    FillNormal(*block->down_, 1 / std::sqrt(static_cast<double>(block->ffn_dim())), generator);
    block->position_bias_.normal_(0.0, 1 / std::sqrt(width), generator);
  }
  for (auto& item : named_parameters()) {
    if (item.key().find("norm") != std::string::npos) item.value().fill_(1.0);
  }
}

Umt5Config Umt5::CurrentConfig() const {
  Umt5Config config = config_;
  config.ffn_dims.clear();
  config.attn_heads.clear();
  for (const auto& block : blocks_) {
    config.ffn_dims.push_back(block->ffn_dim());
    config.attn_heads.push_back(block->heads());
  }
  SettleSizes(config);
  return config;
}

void SettleSizes(Umt5Config& config) {
  if (!config.ffn_dims.empty()) config.d_ff = config.ffn_dims.front();
  if (!config.attn_heads.empty()) {
    const int64_t heads = config.attn_heads.front();
    DropIfUniform(config.attn_heads, heads);
    if (config.attn_heads.empty()) config.num_heads = heads;
  }
  DropIfUniform(config.ffn_dims, config.d_ff);
}

void Umt5::Describe(TopologyBuilder& topology) const {
  for (size_t i = 0; i < blocks_.size(); ++i) topology.Block(absl::StrCat("blocks.", i));
  topology.Norm("norm.weight", ElementwiseOp::kRmsNorm, TokenStream::kText);
  // Nothing has to stay fp32: the published encoder is bf16 throughout.
}

}  // namespace wanlite::wan
