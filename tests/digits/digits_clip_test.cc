// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_clip.h"

#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/digits/vae_training.h"
#include "src/model/wan/tokenizer_trainer.h"
#include "src/train/loop_options.h"
#include "tests/digits/scans_path.h"
#include "tests/testing/catch.h"

namespace wanlite::digits {
namespace {

constexpr int64_t kTextLength = 28;

std::string Spiece() {
  wan::TokenizerTrainerOptions options;
  options.vocabulary_size = 256;
  ASSERT_OK_AND_ASSIGN(const std::string model, wan::TrainTokenizer(AllCaptions(), options));
  return model;
}

DigitsClip::Config SmallConfig(int64_t vocabulary) {
  DigitsClip::Config config;
  config.width = 4;
  config.embed_dim = 8;
  config.text_length = kTextLength;
  config.text.vocab_size = vocabulary;
  config.text.d_model = 16;
  config.text.num_heads = 2;
  config.text.d_kv = 8;
  config.text.d_ff = 24;
  config.text.num_layers = 1;
  return config;
}

ClipGeometry SmallGeometry() {
  ClipGeometry geometry;
  geometry.frames = 5;
  geometry.size = 32;
  geometry.digit_size = 14;
  geometry.min_travel = 6;
  geometry.max_travel = 12;
  return geometry;
}

CaptionTable Captions(const wan::Tokenizer& tokenizer) {
  CaptionTable table;
  table.captions = AllCaptions();
  ASSERT_OK_AND_ASSIGN(const wan::TokenizedText tokens,
                       tokenizer.EncodeBatch(table.captions, kTextLength));
  table.ids = tokens.input_ids;
  table.mask = tokens.attention_mask;
  for (size_t i = 0; i < table.captions.size(); ++i) {
    table.index[table.captions[i]] = static_cast<int64_t>(i);
  }
  return table;
}

struct Fixture {
  Fixture() : spiece(Spiece()) {
    ASSERT_OK_AND_ASSIGN(wan::Tokenizer parsed, wan::Tokenizer::Parse(spiece));
    tokenizer.emplace(std::move(parsed));
    ASSERT_OK_AND_ASSIGN(network, DigitsClip::Create(SmallConfig(tokenizer->vocabulary_size())));
    network->InitParameters(5);
    ASSERT_OK_AND_ASSIGN(scans, DigitScans::Load(PosixEnv(), kScansPath));
  }
  std::string spiece;
  std::optional<wan::Tokenizer> tokenizer;
  std::shared_ptr<DigitsClip> network;
  DigitScans scans;
};

TEST_CASE("Digits-CLIP is the same after saving and loading, and gives unit vectors") {
  Fixture fixture;
  const auto env = NewMemEnv();
  REQUIRE_OK(fixture.network->Save(*env, "clip", fixture.spiece));
  ASSERT_OK_AND_ASSIGN(const DigitsClip::Loaded loaded, DigitsClip::Load(*env, "clip"));
  const at::Tensor video = at::rand({2, 3, 5, 32, 32}) * 2 - 1;
  const at::NoGradGuard no_grad;
  const at::Tensor embedding = loaded.network->EmbedVideo(video);
  REQUIRE(at::equal(embedding, fixture.network->EmbedVideo(video)));
  REQUIRE(at::allclose(embedding.norm(2, {1}), at::ones({2})));
  ASSERT_OK_AND_ASSIGN(const at::Tensor text,
                       loaded.EmbedCaptions({"a red digit 3 moves left", "赤い数字の3が左へ動く"}));
  REQUIRE(text.sizes() == at::IntArrayRef({2, 8}));
  REQUIRE(at::allclose(text.norm(2, {1}), at::ones({2})));
}

TEST_CASE("Digits-CLIP aligns other networks: gradients reach the video, and it stays as it is") {
  Fixture fixture;
  const auto env = NewMemEnv();
  REQUIRE_OK(fixture.network->Save(*env, "clip", fixture.spiece));
  ASSERT_OK_AND_ASSIGN(const auto encoder, OpenDigitsAlignment(*env, "clip"));
  at::Tensor video = (at::rand({2, 3, 5, 32, 32}) * 2 - 1).set_requires_grad(true);
  const at::Tensor seen = encoder->EmbedVideo(video);
  {
    const at::NoGradGuard no_grad;
    CHECK(at::allclose(seen, fixture.network->EmbedVideo(video)));
  }
  ASSERT_OK_AND_ASSIGN(const at::Tensor said, encoder->EmbedText({"a red 3", "a blue 4"}));
  CHECK_FALSE(said.requires_grad());
  CHECK(torch::autograd::grad({(seen * said).sum()}, {video})[0].norm().item<double>() > 0);
  const std::string before = encoder->fingerprint();
  fixture.network->InitParameters(6);
  REQUIRE_OK(fixture.network->Save(*env, "clip", fixture.spiece));
  ASSERT_OK_AND_ASSIGN(const auto other, OpenDigitsAlignment(*env, "clip"));
  CHECK(other->fingerprint() != before);
}

TEST_CASE("Digits-CLIP's text vector does not depend on how long the padding is") {
  Fixture fixture;
  const at::NoGradGuard no_grad;
  ASSERT_OK_AND_ASSIGN(const wan::TokenizedText a, fixture.tokenizer->Encode("a red 3", 16));
  ASSERT_OK_AND_ASSIGN(const wan::TokenizedText b, fixture.tokenizer->Encode("a red 3", 28));
  REQUIRE(at::allclose(fixture.network->EmbedText(a.input_ids, a.attention_mask),
                       fixture.network->EmbedText(b.input_ids, b.attention_mask), 1e-4, 1e-5));
}

TEST_CASE("Training Digits-CLIP lowers the loss on its clips") {
  Fixture fixture;
  const CaptionTable captions = Captions(*fixture.tokenizer);
  ClipObjective objective(*fixture.network, fixture.scans, SmallGeometry(), captions, 16, 3);
  TrainLoop options;
  options.set_steps(30);
  options.set_batch(16);
  options.set_learning_rate(0.005);
  options.set_warmup_steps(2);
  options.set_final_rate_ratio(1);
  options.set_max_gradient_norm(1);
  const double before = objective.Loss(1000, 0, 1).total.item<double>();
  const auto env = NewMemEnv();
  train::TrainRun run;
  run.env = env.get();
  run.what = "clip";
  run.state_dir = "state.safetensors";
  REQUIRE_OK(train::Train(train::LoopOf(options), objective, run));
  const double after = objective.Loss(1000, 0, 1).total.item<double>();
  INFO(before << " -> " << after);
  REQUIRE(after < 0.9 * before);
}

TEST_CASE("Broken Digits-CLIP folders are refused with the file's name") {
  Fixture fixture;
  const auto refused = [&](const std::string& file, const std::string& contents,
                           const std::string& said) {
    const auto env = NewMemEnv();
    REQUIRE_OK(fixture.network->Save(*env, "clip", fixture.spiece));
    REQUIRE_OK(env->WriteFileAtomically(JoinPath("clip", file), contents));
    const absl::Status status = DigitsClip::Load(*env, "clip").status();
    INFO(status);
    REQUIRE_FALSE(status.ok());
    REQUIRE(std::string(status.message()).find(said) != std::string::npos);
  };
  refused("config.json", "{", "clip/config.json");
  refused("config.json", R"({"width": 3, "embed_dim": 8, "text_length": 28, "text": {}})",
          "config.json");
  refused("model.safetensors", "nonsense", "clip/model.safetensors");
  refused("spiece.model", "nonsense", "clip/spiece.model");
}

}  // namespace
}  // namespace wanlite::digits
