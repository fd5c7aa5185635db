// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <chrono>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/architecture.h"
#include "wanlite/metrics.h"
#include "wanlite/nn.h"
#include "wanlite/wan/config.h"

namespace wanlite {
namespace {

Component HollowOf(const std::string& name, const std::string& architecture, std::string config) {
  const Architecture* found = BuiltinArchitectures().Find(architecture);
  REQUIRE(found != nullptr);
  const nn::HollowGuard hollow;
  ASSERT_OK_AND_ASSIGN(auto module, found->build(config));
  return Component{name, found->role, architecture, std::move(config), std::move(module)};
}

ModelView A14B() {
  std::vector<Component> components;
  components.push_back(
      HollowOf("transformer", "WanTransformer3DModel", wan::DitConfigJson(wan::DitConfig{})));
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  return view;
}

TEST_CASE("A14B counts 1.678 PFLOP at 480p and 6.523 at 720p, in under a second") {
  const auto start = std::chrono::steady_clock::now();
  const ModelView view = A14B();
  ASSERT_OK_AND_ASSIGN(const ModelOps small, CountOps(view, VideoShape{81, 480, 832, 512}));
  ASSERT_OK_AND_ASSIGN(const ModelOps large, CountOps(view, VideoShape{81, 720, 1280, 512}));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  CHECK(seconds.count() < 1.0);

  const ForwardOps& ops = small.denoisers.at("transformer");
  CHECK(small.video_tokens == 32760);
  CHECK(ops.total().dense / 1e15 == Approx(1.678).margin(0.0006));
  CHECK(ops.linear.dense / 1e15 == Approx(0.7855).margin(0.0002));
  CHECK(ops.self_attention.dense == 40 * 4.0 * 32760 * 32760 * 5120);
  CHECK(ops.cross_attention.dense == 40 * 4.0 * 32760 * 512 * 5120);
  CHECK(ops.convolution.dense == 2.0 * 32760 * 5120 * 16 * 4);
  CHECK(large.video_tokens == 75600);
  CHECK(large.denoisers.at("transformer").total().dense / 1e15 == Approx(6.523).margin(0.0006));
}

TEST_CASE("A14B's linears count exactly what their shapes say") {
  const ModelView view = A14B();
  ASSERT_OK_AND_ASSIGN(const ModelOps ops, CountOps(view, VideoShape{81, 480, 832, 512}));
  const double s = 32760, t = 512, d = 5120, f = 13824;
  const double block = 8 * s * d * d + 4 * s * d * f + 4 * s * d * d + 4 * t * d * d;
  const double text = 2 * t * (4096 * d + d * d);
  const double time = 2 * (256 * d + d * d + d * 6 * d);
  const double head = 2 * s * d * 64;
  CHECK(ops.denoisers.at("transformer").linear.dense ==
        Approx(40 * block + text + time + head).epsilon(1e-12));
}

TEST_CASE("A14B has 14,288,491,584 parameters") {
  CHECK(CountParameters(A14B()) == 14288491584);
  CHECK(CountParameters(A14B(), "transformer") == 14288491584);
  CHECK(CountParameters(A14B(), "vae") == 0);
}

TEST_CASE("The Wan 2.1 VAE counts the convolutions of its streaming passes") {
  wan::VaeConfig config;
  config.base_dim = config.decoder_base_dim = 4;
  config.z_dim = 2;
  config.latents_mean = {0, 0};
  config.latents_std = {1, 1};
  std::vector<Component> components;
  components.push_back(HollowOf("vae", "AutoencoderKLWan", wan::VaeConfigJson(config)));
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  ASSERT_OK_AND_ASSIGN(const ModelOps ops, CountOps(view, VideoShape{9, 16, 24, 1}));
  CHECK(ops.latent_frames == 3);
  CHECK(ops.latent_height == 2);
  CHECK(ops.latent_width == 3);

  // Encoder, written out: channels 4 -> 4 -> 8 -> 16 -> 16 on frames 9, 9, 5, 3.
  const auto conv = [](double in, double out, double kernel, double outputs) {
    return 2 * in * out * kernel * outputs;
  };
  double encode = conv(3, 4, 27, 9 * 16 * 24);
  encode += 4 * conv(4, 4, 27, 9 * 16 * 24) + conv(4, 4, 9, 9 * 8 * 12);
  encode += conv(4, 8, 27, 9 * 8 * 12) + conv(4, 8, 1, 9 * 8 * 12) + 3 * conv(8, 8, 27, 9 * 8 * 12);
  encode += conv(8, 8, 9, 9 * 4 * 6) + conv(8, 8, 3, 4 * 4 * 6);
  encode +=
      conv(8, 16, 27, 5 * 4 * 6) + conv(8, 16, 1, 5 * 4 * 6) + 3 * conv(16, 16, 27, 5 * 4 * 6);
  encode += conv(16, 16, 9, 5 * 2 * 3) + conv(16, 16, 3, 2 * 2 * 3);
  const double latent = 3 * 2 * 3;
  encode += 4 * conv(16, 16, 27, latent);                       // last stage
  encode += 4 * conv(16, 16, 27, latent);                       // middle residuals
  encode += conv(16, 48, 1, latent) + conv(16, 16, 1, latent);  // attention's 1x1
  encode += conv(16, 4, 27, latent) + conv(4, 4, 1, latent);    // head, quantizer
  CHECK(ops.vae_encode.convolution.dense == Approx(encode).epsilon(1e-12));
  CHECK(ops.vae_encode.self_attention.dense == 4.0 * 3 * 6 * 6 * 16);
  CHECK(ops.vae_decode.self_attention.dense == 4.0 * 3 * 6 * 6 * 16);
  CHECK(ops.vae_decode.convolution.dense > encode);
}

// A denoiser whose names say nothing: attention between video and text, a routed layer, a norm.
class Nameless : public torch::nn::Module, public nn::Describable {
 public:
  Nameless() {
    for (const char* name : {"a", "b", "c"}) {
      register_module(name, std::make_shared<nn::Linear>(8, 16));
    }
    register_parameter("scale", nn::NewTensor({8}));
  }
  void Describe(TopologyBuilder& topology) const override {
    topology.Linear("a", "first", TokenStream::kVideo);
    topology.Linear("b", "second", TokenStream::kText);
    topology.Linear("c", "expert", TokenStream::kVideo, false, /*token_share=*/0.25);
    AxisGroup pairs;
    pairs.name = pairs.kind = "pairs";
    pairs.units = 4;
    pairs.refs = {{"a", 0, 4}, {"b", 0, 4}};
    topology.Group(pairs);
    topology.Attention({"a", TokenStream::kVideo, TokenStream::kText, "pairs"});
    topology.OnInput("c", ElementwiseOp::kGelu);
    topology.OnOutput("b", ElementwiseOp::kResidual);
    topology.Norm("scale", ElementwiseOp::kRmsNorm, TokenStream::kText);
    if (!wrong_.empty()) topology.OnInput(wrong_, ElementwiseOp::kSilu);
  }
  std::string wrong_;
};

TEST_CASE("What a model declares is counted, whatever its names") {
  const nn::HollowGuard hollow;
  const auto model = std::make_shared<Nameless>();
  ASSERT_OK_AND_ASSIGN(
      const ModelView view,
      ModelView::Create({{"net", ComponentRole::kDenoiser, "Nameless", "{}", model}}));
  // 2 latent frames of 3x2 (no patch embedding, strides of 4 and 8): 12 video tokens.
  ASSERT_OK_AND_ASSIGN(const ModelOps ops, CountOps(view, VideoShape{5, 24, 16, 10}));
  const ForwardOps& forward = ops.denoisers.at("net");
  REQUIRE(ops.video_tokens == 12);
  CHECK(forward.linear.dense == 2 * 8 * 16 * (12 + 10 + 3));
  CHECK(forward.cross_attention.dense == 4 * 12 * 10 * 16);
  CHECK(forward.self_attention.dense == 0);
  // Biases, GELU on the expert's share, residual, norm, softmax of 4 heads.
  CHECK(forward.other == 16 * (12 + 10 + 3) + 9 * 8 * 3 + 16 * 10 + 4 * 8 * 10 + 6 * 4 * 12 * 10);

  model->wrong_ = "d";
  CHECK(std::string(ModelView::Create({{"net", ComponentRole::kDenoiser, "", "{}", model}})
                        .status()
                        .message()) ==
        "an element-wise operation names net.d, which does not exist");
}

TEST_CASE("Zeros lower the effective count and nothing else") {
  const ModelView view = A14B();
  const VideoShape shape{5, 64, 64, 8};
  ASSERT_OK_AND_ASSIGN(const ModelOps plain, CountOps(view, shape));
  std::map<std::string, double> nonzero;
  for (const LinearInfo& linear : view.linears()) nonzero[linear.path] = 0.5;
  ASSERT_OK_AND_ASSIGN(const ModelOps half, CountOps(view, shape, nonzero));
  const OpCount before = plain.denoisers.at("transformer").linear;
  const OpCount after = half.denoisers.at("transformer").linear;
  CHECK(after.effective == Approx(before.effective / 2));
  CHECK(after.dense == before.dense);
  CHECK(after.realised == before.realised);
}

TEST_CASE("Sizes that do not fit the strides are refused with the nearest that does") {
  const ModelView view = A14B();
  const auto frames = CountOps(view, VideoShape{80, 480, 832, 512});
  REQUIRE(absl::IsInvalidArgument(frames.status()));
  CHECK(std::string(frames.status().message()).find("frames is 80") != std::string::npos);
  CHECK(std::string(frames.status().message()).find("77") != std::string::npos);
  // The sizes that are offered fit strides and patches together, so they are taken.
  for (const int64_t height : {1, 8, 484, 488, 500}) {
    const absl::Status status = CountOps(view, VideoShape{5, height, 832, 8}).status();
    REQUIRE(absl::IsInvalidArgument(status));
    const std::string message(status.message());
    INFO(message);
    std::vector<int64_t> offered;
    for (absl::string_view word : absl::StrSplit(message.substr(message.find(": ") + 2), " or ")) {
      int64_t value = 0;
      REQUIRE(absl::SimpleAtoi(word, &value));
      offered.push_back(value);
    }
    REQUIRE_FALSE(offered.empty());
    for (const int64_t value : offered) {
      REQUIRE_OK(CountOps(view, VideoShape{5, value, 832, 8}));
    }
  }
  CHECK(absl::IsInvalidArgument(CountOps(view, VideoShape{81, -16, 832, 512}).status()));
  CHECK(
      absl::IsInvalidArgument(CountOps(view, VideoShape{81, 480, int64_t{1} << 40, 512}).status()));
}

}  // namespace
}  // namespace wanlite
