// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/dit.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite::wan {
namespace {

// A linear in fp32 whatever dtype its dense weight is stored in.
at::Tensor ApplyInFloat32(const nn::Linear& linear, const at::Tensor& x) {
  const at::Tensor* weight = linear.weight().dense();
  if (weight == nullptr) return linear.forward(x);
  std::optional<at::Tensor> bias = linear.bias();
  if (bias.has_value()) bias = bias->to(at::kFloat);
  return at::linear(x, weight->to(at::kFloat), bias);
}

int64_t AtOr(const std::vector<int64_t>& values, int64_t index, int64_t otherwise) {
  return values.empty() ? otherwise : values.at(index);
}

}  // namespace

at::Tensor TimestepFeatures(const at::Tensor& timestep, int64_t channels, Numerics numerics) {
  TORCH_CHECK(timestep.dim() == 1, "timestep features: timestep is ", timestep.sizes(),
              ", wanted [n]");
  // The largest arguments are around 1000, where fp32 keeps four decimals: the two references
  // differ there in the fifth digit of the features.
  const at::ScalarType dtype = numerics == Numerics::kOfficial ? at::kDouble : at::kFloat;
  const int64_t half = channels / 2;
  const auto options = at::TensorOptions().dtype(dtype).device(timestep.device());
  const at::Tensor index = at::arange(half, options);
  const at::Tensor frequencies =
      numerics == Numerics::kOfficial
          ? at::pow(at::Scalar(10000.0), -index / static_cast<double>(half))
          : at::exp(index * -std::log(10000.0) / static_cast<double>(half));
  const at::Tensor angle = at::outer(timestep.to(dtype), frequencies);  // [n, half]
  const at::Tensor features = at::cat({angle.cos(), angle.sin()}, -1).to(at::kFloat);
  return channels % 2 == 0 ? features : at::constant_pad_nd(features, {0, 1});
}

Dit::Dit(const DitConfig& config, at::ScalarType dtype)
    : config_(config), rotary_(config.head_dim, config.rope_max_seq_len) {
  const auto check_per_block = [&](const std::vector<int64_t>& values, const char* name) {
    TORCH_CHECK(values.empty() || static_cast<int64_t>(values.size()) == config.num_layers, name,
                " has ", values.size(), " entries for ", config.num_layers, " blocks");
  };
  check_per_block(config.ffn_dims, "ffn_dims");
  check_per_block(config.self_attn_heads, "self_attn_heads");
  check_per_block(config.cross_attn_heads, "cross_attn_heads");

  const int64_t dim = config.dim();
  const int64_t inner = config.inner_dim();
  const auto& patch = config.patch_size;
  patch_embedding_ = register_module("patch_embedding", std::make_shared<torch::nn::Module>());
  patch_weight_ = patch_embedding_->register_parameter(
      "weight", nn::NewTensor({dim, config.in_channels, patch[0], patch[1], patch[2]}, dtype));
  patch_bias_ = patch_embedding_->register_parameter("bias", nn::NewTensor({dim}, dtype));

  text_embedding_ = register_module(
      "text_embedding", std::make_shared<TwoLinears>(config.text_dim, inner, inner, dtype));
  time_embedding_ = register_module(
      "time_embedding", std::make_shared<TwoLinears>(config.freq_dim, inner, dim, at::kFloat));
  auto time_projection = register_module("time_projection", std::make_shared<torch::nn::Module>());
  time_projection_ = time_projection->register_module(
      "1", std::make_shared<nn::Linear>(dim, 6 * dim, true, dtype));

  blocks_ = register_module("blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.num_layers; ++i) {
    DitBlockOptions options;
    options.dim = dim;
    options.context_dim = inner;
    options.head_dim = config.head_dim;
    options.self_attn_heads = AtOr(config.self_attn_heads, i, config.num_heads);
    options.cross_attn_heads = AtOr(config.cross_attn_heads, i, config.num_heads);
    options.ffn_dim = AtOr(config.ffn_dims, i, config.ffn_dim);
    options.cross_attn_norm = config.cross_attn_norm;
    options.qk_norm = config.qk_norm;
    options.eps = config.eps;
    options.dtype = dtype;
    blocks_->push_back(std::make_shared<DitBlock>(options));
  }

  auto head = register_module("head", std::make_shared<torch::nn::Module>());
  head_modulation_ = head->register_parameter("modulation", nn::NewTensor({1, 2, dim}));
  head_ = head->register_module(
      "head", std::make_shared<nn::Linear>(
                  dim, config.out_channels * patch[0] * patch[1] * patch[2], true, dtype));
}

at::ScalarType Dit::compute_dtype() const { return patch_weight_.scalar_type(); }

at::Tensor Dit::EmbedPatches(const at::Tensor& x) const {
  // A convolution whose stride is its kernel is a matrix product over non-overlapping patches.
  const auto& p = config_.patch_size;
  const at::Tensor patches =
      x.unflatten(4, {-1, p[2]}).unflatten(3, {-1, p[1]}).unflatten(2, {-1, p[0]});
  return at::linear(patches.permute({0, 2, 4, 6, 1, 3, 5, 7}).flatten(4).flatten(1, 3),
                    patch_weight_.flatten(1), patch_bias_);
}

at::Tensor Dit::Unpatchify(const at::Tensor& x, const std::array<int64_t, 3>& grid) const {
  const auto& p = config_.patch_size;
  // Features of a token are ordered (p_t, p_h, p_w, channel).
  return x.view({x.size(0), grid[0], grid[1], grid[2], p[0], p[1], p[2], -1})
      .permute({0, 7, 1, 4, 2, 5, 3, 6})
      .flatten(6, 7)
      .flatten(4, 5)
      .flatten(2, 3);
}

at::Tensor Dit::forward(const at::Tensor& hidden_states, const at::Tensor& timestep,
                        const at::Tensor& encoder_hidden_states) const {
  return Run({{"hidden_states", hidden_states},
              {"timestep", timestep},
              {"encoder_hidden_states", encoder_hidden_states}});
}

std::vector<std::string> Dit::Inputs() const {
  return {"hidden_states", "timestep", "encoder_hidden_states"};
}

std::string Dit::Output() const { return "sample"; }

std::vector<BlockProgram::Step> Dit::Steps() const {
  std::vector<Step> steps;
  steps.push_back({"", {"x", "context", "time", "head_time", "rotary"}});
  for (int64_t i = 0; i < num_blocks(); ++i) {
    steps.push_back({absl::StrCat("blocks.", i), {"x"}, /*residual=*/true});
  }
  steps.push_back({"", {"sample"}});
  return steps;
}

void Dit::RunStep(size_t step, Values& values) const {
  const auto blocks = static_cast<size_t>(num_blocks());
  TORCH_CHECK(step < blocks + 2, "step ", step, " of a program of ", blocks + 2);
  if (step == 0) return Embed(values);
  if (step == blocks + 1) return ApplyHead(values);
  at::Tensor& x = values["x"];
  TORCH_CHECK_VALUE(x.defined(), "no value 'x' was given");
  x = block(static_cast<int64_t>(step) - 1)
          .forward(x, ValueOf(values, "context"), ValueOf(values, "time"),
                   ValueOf(values, "rotary"));
}

std::array<int64_t, 3> Dit::GridOf(const at::Tensor& hidden_states) const {
  TORCH_CHECK_VALUE(hidden_states.dim() == 5 && hidden_states.size(1) == config_.in_channels &&
                        hidden_states.is_floating_point(),
                    "hidden_states is ", hidden_states.scalar_type(), " ", hidden_states.sizes(),
                    ", wanted floating [batch, ", config_.in_channels, ", frames, height, width]");
  std::array<int64_t, 3> grid{};
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t size = hidden_states.size(2 + static_cast<int64_t>(axis));
    TORCH_CHECK_VALUE(size >= 1 && size % config_.patch_size[axis] == 0, "hidden_states is ",
                      hidden_states.sizes(),
                      ", wanted frames, height and width in multiples of the patch size ",
                      at::IntArrayRef(config_.patch_size));
    grid[axis] = size / config_.patch_size[axis];
  }
  return grid;
}

Dit::EmbeddedTime Dit::EmbedTime(const at::Tensor& timesteps) const {
  const bool official = numerics_ == Numerics::kOfficial;
  at::Tensor time = TimestepFeatures(timesteps, config_.freq_dim, numerics_);
  time = time_embedding_->second()->forward(at::silu(time_embedding_->first()->forward(time)));
  if (!official) time = time.to(compute_dtype());
  const at::Tensor activated = at::silu(time);
  return {time, official ? ApplyInFloat32(*time_projection_, activated)
                         : time_projection_->forward(activated)};
}

std::vector<std::string> Dit::TimeLinears() const {
  return {"time_embedding.0", "time_embedding.2", "time_projection.1"};
}

void Dit::RunTimePath(const at::Tensor& timesteps) const { EmbedTime(timesteps); }

void Dit::Embed(Values& values) const {
  const at::Tensor& hidden_states = ValueOf(values, "hidden_states");
  const at::Tensor& timestep = ValueOf(values, "timestep");
  const at::Tensor& text = ValueOf(values, "encoder_hidden_states");
  const std::array<int64_t, 3> grid = GridOf(hidden_states);
  const int64_t batch = hidden_states.size(0);
  const int64_t tokens = grid[0] * grid[1] * grid[2];
  TORCH_CHECK_VALUE(text.dim() == 3 && text.size(0) == batch && text.size(1) >= 1 &&
                        text.size(2) == config_.text_dim && text.is_floating_point(),
                    "encoder_hidden_states is ", text.scalar_type(), " ", text.sizes(),
                    ", wanted floating [", batch, ", text tokens, ", config_.text_dim, "]");
  const bool per_token = timestep.dim() == 2;
  TORCH_CHECK_VALUE((timestep.dim() == 1 || per_token) && timestep.size(0) == batch &&
                        (!per_token || timestep.size(1) == tokens),
                    "timestep is ", timestep.sizes(), ", wanted [", batch, "] or [", batch, ", ",
                    tokens, "]");

  const bool official = numerics_ == Numerics::kOfficial;
  const at::ScalarType compute = compute_dtype();

  // Time: [batch, 1 or tokens, dim] and its projection for the blocks [batch, 1 or tokens, 6, dim].
  const auto [time, block_time] = EmbedTime(timestep.flatten());
  const int64_t steps = per_token ? tokens : 1;
  values["time"] = block_time.to(at::kFloat).view({batch, steps, 6, -1});
  values["head_time"] = time.to(at::kFloat).view({batch, steps, 1, -1});

  values["context"] = text_embedding_->WithGelu(text.to(compute));

  at::Tensor x = EmbedPatches(hidden_states.to(compute));
  if (official) x = x.to(at::kFloat);
  values["rotary"] = rotary_.Table(grid, x.device());
  values["x"] = std::move(x);
}

void Dit::ApplyHead(Values& values) const {
  const bool official = numerics_ == Numerics::kOfficial;
  const std::vector<at::Tensor> e =
      (head_modulation_.to(at::kFloat) + ValueOf(values, "head_time")).unbind(2);
  at::Tensor x = ModulatedLayerNorm(ValueOf(values, "x"), e[0], e[1], config_.eps);
  x = official ? ApplyInFloat32(*head_, x) : head_->forward(x.to(compute_dtype()));
  values["sample"] = Unpatchify(x, GridOf(ValueOf(values, "hidden_states")));
}

void Dit::InitParameters(uint64_t seed) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (const auto& item : named_parameters()) InitParameter(item.key(), item.value(), generator);
}

void Dit::InitParameter(const std::string& name, const at::Tensor& value,
                        const at::Generator& generator) {
  const at::NoGradGuard no_grad;
  TORCH_CHECK(value.is_floating_point() && !nn::IsHollow(value), "InitParameter: ", name, " is ",
              nn::IsHollow(value) ? "hollow" : "no floating-point tensor");
  const bool embedding =
      absl::StartsWith(name, "text_embedding.") || absl::StartsWith(name, "time_embedding.");
  if (absl::EndsWith(name, "modulation")) {
    value.normal_(0.0, 1.0 / std::sqrt(static_cast<double>(value.size(-1))), generator);
  } else if (absl::EndsWith(name, ".bias") || name == "head.head.weight") {
    value.zero_();
  } else if (value.dim() == 1) {
    value.fill_(1.0);  // weights of norms
  } else if (embedding) {
    value.normal_(0.0, 0.02, generator);
  } else {
    const at::Tensor matrix = value.flatten(1);
    const double bound = std::sqrt(6.0 / static_cast<double>(matrix.size(0) + matrix.size(1)));
    value.uniform_(-bound, bound, generator);
  }
}

void Dit::Describe(TopologyBuilder& topology) const {
  for (const char* path : {"text_embedding.0", "text_embedding.2"}) {
    topology.Linear(path, path, TokenStream::kText, /*sensitive=*/true);
  }
  for (const char* path : {"time_embedding.0", "time_embedding.2", "time_projection.1"}) {
    topology.Linear(path, path, TokenStream::kOnce, /*sensitive=*/true);
  }
  topology.Linear("head.head", "head", TokenStream::kVideo, /*sensitive=*/true);
  topology.OnOutput("text_embedding.0", ElementwiseOp::kGelu);
  topology.OnOutput("time_embedding.0", ElementwiseOp::kSilu);
  topology.OnOutput("time_embedding.2", ElementwiseOp::kSilu);
  topology.OnInput("head.head", ElementwiseOp::kLayerNorm);
  topology.KeepFloat32("time_embedding");
  topology.KeepFloat32("head.modulation");
  for (int64_t i = 0; i < num_blocks(); ++i) topology.Block(absl::StrCat("blocks.", i));
  DescribeWidth(topology);
}

std::vector<InputScaling> Dit::InputScalings() const {
  const int64_t dim = width();
  // What reads a modulated norm, and the slots of its shift; that of its scale is the next one.
  InputScaling self{"self_attn.q, k, v of all blocks", dim, {}, {}};
  InputScaling ffn{"ffn.0 of all blocks", dim, {}, {}};
  InputScaling context{"cross_attn.k, v of all blocks", 0, {}, {{"text_embedding.2"}}};
  context.features = text_embedding_->second()->out_features();
  std::vector<InputScaling> scalings;
  const auto add_modulated = [&](InputScaling& scaling, int64_t slot, const std::string& block,
                                 std::initializer_list<const char*> readers) {
    for (const char* reader : readers) scaling.readers.push_back(block + reader);
    scaling.sources.push_back({block + "modulation", slot * dim});
    scaling.sources.push_back({block + "modulation", (slot + 1) * dim, /*offset=*/1});
  };
  for (int64_t i = 0; i < num_blocks(); ++i) {
    const std::string path = absl::StrCat("blocks.", i, ".");
    add_modulated(self, 0, path, {"self_attn.q", "self_attn.k", "self_attn.v"});
    add_modulated(ffn, 3, path, {"ffn.0"});
    for (const char* reader : {"cross_attn.k", "cross_attn.v"}) {
      context.readers.push_back(path + reader);
    }
    for (const auto& [attention, heads] : {std::pair{"self_attn.", block(i).self_attn_heads()},
                                           {"cross_attn.", block(i).cross_attn_heads()}}) {
      const std::string layer = path + attention;
      scalings.push_back({layer + "o", heads * config_.head_dim, {layer + "o"}, {{layer + "v"}}});
    }
    if (!config_.cross_attn_norm) continue;
    scalings.push_back({path + "cross_attn.q",
                        dim,
                        {path + "cross_attn.q"},
                        {{path + "norm3.weight"}, {path + "norm3.bias"}}});
  }
  for (auto [scaling, slot] : {std::pair{&self, 0}, {&ffn, 3}}) {
    scaling->sources.push_back({"time_projection.1", slot * dim});
    scaling->sources.push_back({"time_projection.1", (slot + 1) * dim});
    scalings.push_back(std::move(*scaling));
  }
  scalings.push_back(std::move(context));
  return scalings;
}

void Dit::DescribeWidth(TopologyBuilder& topology) const {
  AxisGroup group;
  group.name = "width";
  group.kind = "width";
  group.units = width();
  const auto add = [&](const std::string& tensor, int64_t dim, AxisRole role = AxisRole::kSliced,
                       int64_t outer = 1) {
    group.refs.push_back({tensor, dim, /*repeat=*/1, role, outer});
  };
  const AxisRole normalized = AxisRole::kLayerNormalized;
  add("patch_embedding.weight", 0);
  add("patch_embedding.bias", 0);
  // The head adds the embedded time to its modulation, so that has the width too.
  add("time_embedding.2", 0);
  add("time_projection.1", 1);
  add("time_projection.1", 0, AxisRole::kSliced, /*outer=*/6);
  for (int64_t i = 0; i < num_blocks(); ++i) {
    const std::string path = absl::StrCat("blocks.", i, ".");
    add(path + "modulation", 2, normalized);
    for (const char* reads : {"self_attn.q", "self_attn.k", "self_attn.v", "cross_attn.q", "ffn.0"})
      add(path + reads, 1);
    for (const char* writes : {"self_attn.o", "cross_attn.o", "ffn.2"}) add(path + writes, 0);
    if (!config_.cross_attn_norm) continue;
    add(path + "norm3.weight", 0, normalized);
    add(path + "norm3.bias", 0, normalized);
  }
  add("head.modulation", 2, normalized);
  add("head.head", 1);
  topology.Group(std::move(group));
}

}  // namespace wanlite::wan
