// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Operation counts against torch's counter on the reference networks (generate_flops.py), and what
// torch does not count. Nothing differs: where both count, the numbers are equal, part by part.

#include <nlohmann/json.hpp>

#include "src/core/libtorch.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "wanlite/architecture.h"
#include "wanlite/env.h"
#include "wanlite/metrics.h"
#include "wanlite/nn.h"
#include "wanlite/wan/config.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;

Component Hollow(const std::string& name, const std::string& architecture, const std::string& text,
                 at::ScalarType dtype = at::kFloat) {
  const Architecture* found = BuiltinArchitectures().Find(architecture);
  REQUIRE(found != nullptr);
  ASSERT_OK_AND_ASSIGN(std::string config, found->normalize_config(text));
  const nn::HollowGuard hollow;
  ASSERT_OK_AND_ASSIGN(auto module, found->build(config));
  for (const at::Tensor& tensor : module->parameters()) {
    at::Tensor(tensor).set_data(nn::NewTensor(tensor.sizes(), dtype));
  }
  return Component{name, found->role, architecture, std::move(config), std::move(module)};
}

ModelView ViewOf(Component component) {
  std::vector<Component> components;
  components.push_back(std::move(component));
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  return view;
}

constexpr char kOddTransformer[] = R"({"_class_name": "WanTransformer3DModel",
  "num_attention_heads": 3, "attention_head_dim": 10, "ffn_dim": 50, "num_layers": 2,
  "in_channels": 5, "out_channels": 7, "text_dim": 24, "freq_dim": 32})";
constexpr VideoShape kOddShape{9, 48, 80, 7};  // 45 tokens

void CheckParts(const ForwardOps& ops, const Json& torch_says) {
  CHECK(ops.linear.dense == torch_says["linear"].get<double>());
  CHECK(ops.self_attention.dense == torch_says["self_attention"].get<double>());
  CHECK(ops.cross_attention.dense == torch_says["cross_attention"].get<double>());
  CHECK(ops.convolution.dense == torch_says["convolution"].get<double>());
  CHECK(ops.total().realised == ops.total().dense);
  CHECK(ops.total().bops == ops.total().macs() * 32 * 32);
  CHECK(ops.total().int8 == 0);
}

TEST_CASE("Counts are those of torch's counter under math attention, in every part") {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       PosixEnv().ReadFile("tests/metrics/data/flops.json"));
  const Json golden = Json::parse(text);
  int transformers = 0, encoders = 0, vaes = 0;
  for (const Json& one : golden["cases"]) {
    const std::string network = one["network"];
    INFO(network << " " << one["name"] << " " << one.dump());
    if (network == "transformer") {
      ++transformers;
      const ModelView view =
          ViewOf(Hollow("transformer", "WanTransformer3DModel", one["config"].dump()));
      ASSERT_OK_AND_ASSIGN(const ModelOps ops,
                           CountOps(view, VideoShape{one["frames"], one["height"], one["width"],
                                                     one["text_tokens"]}));
      CHECK(ops.video_tokens == one["tokens"].get<int64_t>());
      CHECK(CountParameters(view) == one["parameters"].get<int64_t>());
      CheckParts(ops.denoisers.at("transformer"), one);
    } else if (network == "text_encoder") {
      ++encoders;
      const ModelView view =
          ViewOf(Hollow("text_encoder", "UMT5EncoderModel", one["config"].dump()));
      ASSERT_OK_AND_ASSIGN(const ModelOps ops,
                           CountOps(view, VideoShape{1, 8, 8, one["text_tokens"]}));
      CHECK(CountParameters(view) == one["parameters"].get<int64_t>());
      CheckParts(ops.text_encoder, one);
    } else {
      REQUIRE(network == "vae");
      ++vaes;
      const ModelView view = ViewOf(Hollow("vae", "AutoencoderKLWan", one["config"].dump()));
      ASSERT_OK_AND_ASSIGN(
          const ModelOps ops,
          CountOps(view, VideoShape{one["frames"], one["height"], one["width"], 1}));
      CHECK(CountParameters(view) == one["parameters"].get<int64_t>());
      CHECK(Json{ops.latent_frames, ops.latent_height, ops.latent_width} == one["latent"]);
      CheckParts(ops.vae_encode, one["encode"]);
      CheckParts(ops.vae_decode, one["decode"]);
    }
  }
  CHECK(transformers >= 4);
  CHECK(encoders >= 2);
  CHECK(vaes >= 4);
}

TEST_CASE("A14B counts 1.678 and 6.523 PFLOP to four digits, with the patch embedding") {
  const ModelView view =
      ViewOf(Hollow("transformer", "WanTransformer3DModel", wan::DitConfigJson({}), at::kBFloat16));
  ASSERT_OK_AND_ASSIGN(const ModelOps small, CountOps(view, VideoShape{81, 480, 832, 512}));
  ASSERT_OK_AND_ASSIGN(const ModelOps large, CountOps(view, VideoShape{81, 720, 1280, 512}));
  const ForwardOps& ops = small.denoisers.at("transformer");
  CHECK(std::round(ops.total().dense / 1e12) == 1678);
  CHECK(std::round(large.denoisers.at("transformer").total().dense / 1e12) == 6523);
  CHECK(ops.total().dense == ops.linear.dense + ops.self_attention.dense +
                                 ops.cross_attention.dense + ops.convolution.dense);
  CHECK(ops.total().bops == ops.total().macs() * 16 * 16);
  CHECK(ops.weight_bytes == 2.0 * 14288491584);
  // Softmax over all scores alone is 0.26 PFLOP-like operations: apart, and below a fifth.
  CHECK(ops.other > 40.0 * 40 * 6 * 32760 * 32760);
  CHECK(ops.other < 0.2 * ops.total().dense);
}

TEST_CASE("Element-wise work of a transformer, written out") {
  const ModelView view = ViewOf(Hollow("transformer", "WanTransformer3DModel", kOddTransformer));
  ASSERT_OK_AND_ASSIGN(const ModelOps ops, CountOps(view, kOddShape));
  const double s = 45, t = 7, d = 30, f = 50, heads = 3;
  const double self = 7 * s * d + 4 * s * d + 2 * 4 * s * d + 2 * 3 * s * d + 6 * heads * s * s +
                      2 * s * d;  // norm, biases, qk norms, rotary, softmax, gate
  const double cross = 7 * s * d + 2 * s * d + 4 * s * d + 2 * t * d + 4 * t * d +
                       6 * heads * s * t + s * d;  // norm, biases, qk norms, softmax, residual
  const double ffn = 7 * s * d + s * f + 9 * s * f + s * d + 2 * s * d;
  const double outside = s * d                            // patch embedding's bias
                         + t * d + 9 * t * d + t * d      // text embedding
                         + d + 4 * d + d + 4 * d + 6 * d  // time embedding and projection
                         + 7 * s * d + s * 7 * 4;         // head
  CHECK(ops.denoisers.at("transformer").other == 2 * (self + cross + ffn) + outside);
}

TEST_CASE("Element-wise work and bytes of a text encoder, written out") {
  const ModelView view = ViewOf(Hollow("text_encoder", "UMT5EncoderModel", R"({
      "architectures": ["UMT5EncoderModel"], "model_type": "umt5", "vocab_size": 50, "d_model": 24,
      "d_kv": 9, "d_ff": 40, "num_layers": 2, "num_heads": 5})",
                                       at::kBFloat16));
  ASSERT_OK_AND_ASSIGN(const ModelOps ops, CountOps(view, VideoShape{1, 8, 8, 17}));
  const double t = 17, d = 24, f = 40;
  const double attention = 4 * t * d + 6 * 5 * t * t + t * d;
  const double ffn = 4 * t * d + 9 * t * f + t * f + t * d;
  CHECK(ops.text_encoder.other == 2 * (attention + ffn) + 4 * t * d);
  // Of the table of 50 tokens, 17 rows are read.
  const double parameters = static_cast<double>(CountParameters(view));
  CHECK(ops.text_encoder.weight_bytes == 2 * (parameters - (50 - 17) * 24));
  CHECK(ops.text_encoder.total().bops == ops.text_encoder.total().macs() * 256);
}

TEST_CASE("INT8 lowers bit operations and bytes, no count, and is listed apart") {
  ModelView view =
      ViewOf(Hollow("transformer", "WanTransformer3DModel", kOddTransformer, at::kBFloat16));
  ASSERT_OK_AND_ASSIGN(const ModelOps plain, CountOps(view, kOddShape));
  REQUIRE_OK(view.SetLinearWeight("transformer.blocks.0.ffn.0", MakeHollowInt8Weight(50, 30, 0)));
  REQUIRE_OK(
      view.SetLinearWeight("transformer.blocks.1.self_attn.q", MakeHollowInt8Weight(30, 30, 0)));
  ASSERT_OK_AND_ASSIGN(const ModelOps mixed, CountOps(view, kOddShape));
  const ForwardOps& a = plain.denoisers.at("transformer");
  const ForwardOps& b = mixed.denoisers.at("transformer");
  const double macs = 45 * 30 * (50 + 30);
  CHECK(b.linear.dense == a.linear.dense);
  CHECK(b.linear.int8 == 2 * macs);
  CHECK(b.linear.bops == a.linear.bops - macs * (16 * 16 - 8 * 8));
  // Attention stays in the activations' width, whatever the query projection is stored in.
  CHECK(b.self_attention.bops == a.self_attention.bops);
  CHECK(b.other == a.other + 45 * (4 * 30 + 2 * 50) + 45 * (4 * 30 + 2 * 30));
  CHECK(b.weight_bytes == a.weight_bytes - 30 * (50 + 30) + 4 * (50 + 30));
}

TEST_CASE("A rotated INT8 weight pays for turning its input") {
  const LinearArithmetic plain = MakeHollowInt8Weight(8, 64, 0)->arithmetic();
  const LinearArithmetic rotated = MakeHollowInt8Weight(8, 64, 16)->arithmetic();
  CHECK(plain.integer);
  CHECK(plain.weight_bits == 8);
  CHECK(rotated.activation_bits == 8);
  // Two radix-4 steps of 8 operations for 4 elements.
  CHECK(rotated.input_ops == plain.input_ops + 4);
  CHECK(rotated.output_ops == plain.output_ops);
}

TEST_CASE("A dense weight multiplies in the dtype it is stored in") {
  const nn::HollowGuard hollow;
  CHECK(MakeDenseWeight(nn::NewTensor({2, 3}, at::kFloat))->arithmetic().weight_bits == 32);
  CHECK(MakeDenseWeight(nn::NewTensor({2, 3}, at::kHalf))->arithmetic().activation_bits == 16);
  CHECK_FALSE(MakeDenseWeight(nn::NewTensor({2, 3}, at::kBFloat16))->arithmetic().integer);
}

TEST_CASE("Attention inside the stages of a VAE is counted") {
  const auto with = [](const std::string& scales) {
    const ModelView view = ViewOf(Hollow("vae", "AutoencoderKLWan", R"({
        "_class_name": "AutoencoderKLWan", "base_dim": 4, "z_dim": 2, "dim_mult": [1, 2],
        "num_res_blocks": 1, "temperal_downsample": [true], "latents_mean": [0, 0],
        "latents_std": [1, 1], "attn_scales": )" + scales + "}"));
    ASSERT_OK_AND_ASSIGN(const ModelOps ops, CountOps(view, VideoShape{5, 8, 6, 1}));
    return ops.vae_encode;
  };
  const ForwardOps plain = with("[]"), attending = with("[0.5]");
  // One layer of 8 channels on 3 frames of 4 x 3.
  CHECK(attending.self_attention.dense == plain.self_attention.dense + 4.0 * 3 * 12 * 12 * 8);
  CHECK(attending.convolution.dense == plain.convolution.dense + 2.0 * 3 * 12 * (8 * 24 + 8 * 8));
  CHECK(attending.other == plain.other + 3.0 * 12 * ((4 + 1) * 8 + 6 * 12) + 3.0 * 12 * (24 + 8));
}

TEST_CASE("A generation is the measured calls times one forward, part by part") {
  ModelOps ops;
  const auto forward = [](double linear, double other) {
    ForwardOps one;
    one.linear = OpCount{linear, linear / 2, linear, linear / 4, 8 * linear};
    one.other = other;
    one.weight_bytes = 10 * other;
    return one;
  };
  ops.denoisers["transformer"] = forward(100, 1);
  ops.denoisers["transformer_2"] = forward(60, 2);
  ops.text_encoder = forward(7, 3);
  ops.vae_decode.convolution = OpCount{500, 500, 500, 0, 500};
  ASSERT_OK_AND_ASSIGN(const GenerationCount count, GenerationOps(ops, {{"transformer", 26},
                                                                        {"transformer_2", 14},
                                                                        {"text_encoder", 2},
                                                                        {"vae.decode", 1}}));
  CHECK(count.denoisers.at("transformer").total().dense == 2600);
  CHECK(count.denoisers.at("transformer_2").linear.effective == 14 * 30);
  CHECK(count.text_encoder.linear.int8 == 2 * 7 / 4.0);
  CHECK(count.vae_decode.total().dense == 500);
  CHECK(count.vae_encode.total().dense == 0);
  CHECK(count.total().total().dense == 2600 + 840 + 14 + 500);
  CHECK(count.total().other == 26 + 28 + 6);
  CHECK(count.total().weight_bytes == 10 * (26 + 28 + 6));
  CHECK(count.Step(20).total().dense == (2600 + 840) / 20.0);
  CHECK(count.Step(20).total().bops == 8 * (2600 + 840) / 20.0);
  // An expert that never ran costs nothing.
  ASSERT_OK_AND_ASSIGN(const GenerationCount one, GenerationOps(ops, {{"transformer", 1}}));
  CHECK(one.denoisers.at("transformer_2").total().dense == 0);
  CHECK(one.total().total().dense == 100);
}

TEST_CASE("Calls of a part without a count are an error, not left out") {
  ModelOps ops;
  ops.denoisers["transformer"].linear.dense = 1;
  const auto lost = GenerationOps(ops, {{"transformer", 1}, {"vae.decode", 1}});
  REQUIRE(absl::IsInvalidArgument(lost.status()));
  CHECK(std::string(lost.status().message()).find("'vae.decode'") != std::string::npos);
  CHECK(std::string(lost.status().message()).find("transformer") != std::string::npos);
  CHECK(absl::IsInvalidArgument(GenerationOps(ops, {{"transformer", -1}}).status()));
  CHECK(GenerationOps(ops, {{"vae.decode", 0}}).ok());
}

}  // namespace
}  // namespace wanlite
