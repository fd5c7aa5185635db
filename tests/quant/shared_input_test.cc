// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers that read one tensor quantize it once: shared equals separate, to the bit.

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/wan/attention.h"
#include "src/model/wan/dit_block.h"
#include "src/model/wan/rope.h"
#include "src/model/wan/umt5.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

struct Calls {
  int quantized = 0, fused = 0;
};

// The form of an int8 weight under another key, counted.
class SpyForm : public InputForm {
 public:
  SpyForm(const InputForm* form, std::string key, bool fused, Calls* calls)
      : form_(form), key_(std::move(key)), fused_(fused), calls_(calls) {}
  absl::string_view key() const override { return key_; }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    ++calls_->quantized;
    return form_->Quantize(x);
  }
  std::optional<QuantizedInput> QuantizeLayerNorm(const LayerNormInput& norm) const override {
    if (!fused_) return std::nullopt;
    ++calls_->fused;
    return form_->QuantizeLayerNorm(norm);
  }
  std::optional<QuantizedInput> QuantizeRmsNorm(const RmsNormInput& norm) const override {
    if (!fused_) return std::nullopt;
    ++calls_->fused;
    return form_->QuantizeRmsNorm(norm);
  }
  std::optional<QuantizedInput> QuantizeGelu(const GeluInput& gelu) const override {
    if (!fused_) return std::nullopt;
    ++calls_->fused;
    return form_->QuantizeGelu(gelu);
  }

 private:
  const InputForm* form_;
  std::string key_;
  bool fused_;
  Calls* calls_;
};

// An int8 weight that gives its input's form another key: one of its own, and nothing is shared.
class SpyWeight : public LinearWeight {
 public:
  SpyWeight(std::unique_ptr<LinearWeight> base, std::string key, bool fused, Calls* calls)
      : base_(std::move(base)), form_(base_->input_form(), std::move(key), fused, calls) {}
  absl::string_view format() const override { return "spy"; }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }
  const InputForm* input_form() const override { return &form_; }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    // The base gets its own form's name for what was made under the other.
    const Activation renamed(*base_->input_form(), x.In(form_), x.dtype(),
                             [&] { return x.dense(); });
    return base_->Apply(renamed, bias);
  }
  LinearArithmetic arithmetic() const override { return base_->arithmetic(); }
  std::vector<WeightTensor> State() const override { return base_->State(); }
  at::Tensor Dequantize() const override { return base_->Dequantize(); }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("a spy cannot be cut");
  }

 private:
  std::unique_ptr<LinearWeight> base_;
  SpyForm form_;
};

enum class Sharing { kPlain, kSpied, kSpiedUnfused, kSeparateUnfused };

// Quantizes every linear of a module that was filled from `seed`.
void Fill(torch::nn::Module& module, int64_t rotation_group, Sharing sharing, Calls* calls) {
  at::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(5);
  for (auto& parameter : module.parameters()) parameter.normal_(0, 0.2, generator);
  int number = 0;
  for (const auto& item : module.modules()) {
    auto* linear = dynamic_cast<nn::Linear*>(item.get());
    if (linear == nullptr) continue;
    auto weight = MakeInt8Weight(*linear->weight().dense(), rotation_group);
    REQUIRE_OK(weight);
    if (sharing == Sharing::kPlain) {
      linear->SetWeight(*std::move(weight));
      continue;
    }
    const std::string key =
        sharing == Sharing::kSeparateUnfused ? absl::StrCat("own", number++) : "common";
    linear->SetWeight(
        std::make_unique<SpyWeight>(*std::move(weight), key, sharing == Sharing::kSpied, calls));
  }
}

at::Tensor Noise(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

at::Tensor RunDitBlock(int64_t rotation_group, Sharing sharing, at::ScalarType dtype,
                       Calls* calls = nullptr) {
  wan::DitBlockOptions options;
  options.dim = 32;
  options.head_dim = 16;
  options.self_attn_heads = options.cross_attn_heads = 2;
  options.ffn_dim = 64;
  const auto block = std::make_shared<wan::DitBlock>(options);
  Calls unused;
  Fill(*block, rotation_group, sharing, calls == nullptr ? &unused : calls);
  const at::Tensor rotary = wan::RotaryEmbedding(16, 64).Table({2, 3, 2}, at::kCPU);
  at::NoGradGuard no_grad;
  return block->forward(Noise({2, 12, 32}, 6), Noise({2, 5, 32}, 7).to(dtype),
                        Noise({2, 1, 6, 32}, 8), rotary);
}

}  // namespace

TEST_CASE("q, k and v of a transformer block share one quantization, to the bit", "[shared]") {
  for (const int64_t group : {0, 4, 16}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      INFO("group " << group << " " << dtype);
      Calls shared, separate;
      const at::Tensor a = RunDitBlock(group, Sharing::kSpiedUnfused, dtype, &shared);
      const at::Tensor b = RunDitBlock(group, Sharing::kSeparateUnfused, dtype, &separate);
      CHECK(at::equal(a, b));
      // q k v | o | q | k v of the text | o | up | down
      CHECK(shared.quantized == 7);
      CHECK(separate.quantized == 10);
    }
  }
}

TEST_CASE("norms and GELU of a transformer block emit int8, and change nothing but fp32 rounding",
          "[shared]") {
  for (const int64_t group : {0, 16}) {
    Calls calls;
    const at::Tensor fused = RunDitBlock(group, Sharing::kSpied, at::kFloat, &calls);
    CHECK(calls.fused == 4);      // q k v | q | up | down
    CHECK(calls.quantized == 3);  // o | k v of the text | o
    // The spy hides nothing: this is what the library does.
    CHECK(at::equal(fused, RunDitBlock(group, Sharing::kPlain, at::kFloat)));
    const at::Tensor unfused = RunDitBlock(group, Sharing::kSpiedUnfused, at::kFloat);
    // Where a value lies at the border of two integers, one of the two roundings may differ.
    CHECK((fused - unfused).norm().item<double>() < 5e-3 * unfused.norm().item<double>());
  }
}

TEST_CASE("a feed-forward of quantized layers that takes some tokens at a time gives the same bits",
          "[shared]") {
  // Four million values between the layers at a time: 64 tokens.
  const auto ffn = std::make_shared<wan::TwoLinears>(16, 65536, 8, at::kFloat);
  Calls unused;
  Fill(*ffn, 0, Sharing::kPlain, &unused);
  const at::NoGradGuard no_grad;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = Noise({2, 150, 16}, 3).to(dtype);
    const at::Tensor hidden = ffn->first()->forward(x);
    const at::Tensor expected = ffn->second()->forward(Gelu({hidden, {}}));
    CHECK(at::equal(ffn->WithGelu(x), expected));
  }
}

TEST_CASE("attention of quantized layers is LibTorch's up to rounding", "[shared]") {
  wan::AttentionOptions options;
  options.dim = 64;
  options.num_heads = 2;
  options.head_dim = 32;
  for (const bool norm : {true, false}) {
    options.qk_norm = norm;
    const auto attention = std::make_shared<wan::Attention>(options);
    Calls unused;
    Fill(*attention, 0, Sharing::kPlain, &unused);
    const at::Tensor rotary = wan::RotaryEmbedding(32, 64).Table({2, 3, 2}, at::kCPU);
    const at::Tensor x = Noise({2, 12, 64}, 5), text = Noise({2, 9, 64}, 6);
    // With gradients on, LibTorch's operators run.
    const at::Tensor self = attention->forward(x, x, rotary).detach();
    const at::Tensor cross = attention->forward(x, text, {}).detach();
    const at::NoGradGuard no_grad;
    const auto near = [](const at::Tensor& a, const at::Tensor& b) {
      return (a - b).norm().item<double>() < 5e-3 * b.norm().item<double>();
    };
    CHECK(near(attention->forward(x, x, rotary), self));
    CHECK(near(attention->forward(x, text, {}), cross));
  }
}

TEST_CASE("layers of the text encoder share what they read, to the bit", "[shared]") {
  wan::Umt5Config config;
  config.vocab_size = 16;
  config.d_model = 32;
  config.d_kv = 8;
  config.d_ff = 64;
  config.num_layers = 1;
  config.num_heads = 4;
  for (const int64_t group : {0, 16}) {
    const auto run = [&](Sharing sharing, Calls* calls) {
      const auto block = std::make_shared<wan::Umt5Block>(config, config.num_heads, config.d_ff);
      Fill(*block, group, sharing, calls);
      at::NoGradGuard no_grad;
      return block->forward(Noise({1, 6, 32}, 9), wan::RelativePositionBuckets(6, 32, 128), {});
    };
    Calls plain, fused, shared, separate;
    const at::Tensor expected = run(Sharing::kPlain, &plain);
    // The spy hides nothing.
    CHECK(at::equal(expected, run(Sharing::kSpied, &fused)));
    CHECK(fused.fused == 3);  // q k v | gate up | down
    CHECK(fused.quantized == 1);
    const at::Tensor unfused = run(Sharing::kSpiedUnfused, &shared);
    CHECK(at::equal(unfused, run(Sharing::kSeparateUnfused, &separate)));
    CHECK(shared.quantized == 4);  // q k v | o | gate up | down
    CHECK(separate.quantized == 7);
    CHECK((expected - unfused).norm().item<double>() < 5e-3 * unfused.norm().item<double>());
  }
}

}  // namespace wanlite
