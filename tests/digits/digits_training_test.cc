// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_training.h"

#include <ATen/CPUGeneratorImpl.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/digits/digits_classifier.h"
#include "src/digits/dit_training.h"
#include "src/digits/vae_training.h"
#include "src/train/loop_options.h"
#include "tests/digits/scans_path.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite::digits {
namespace {

constexpr char kConfig[] = "examples/digits/train.textproto";

void SetLoop(TrainLoop* loop, int64_t steps, int64_t batch) {
  loop->set_steps(steps);
  loop->set_batch(batch);
  loop->set_learning_rate(0.003);
  loop->set_warmup_steps(2);
  loop->set_final_rate_ratio(0.5);
  loop->set_max_gradient_norm(1);
  loop->set_ema_decay(0);
  loop->set_state_every(0);
  loop->set_workers(1);
}

// Everything as small as the architecture allows.
DigitsTrainOptions TinyOptions() {
  DigitsTrainOptions options;
  options.set_seed(3);
  DigitsDataOptions& data = *options.mutable_data();
  data.set_frames(5);
  data.set_size(32);
  data.set_digit_size(14);
  data.set_min_travel(6);
  data.set_max_travel(12);
  VaeTrainingOptions& vae = *options.mutable_vae();
  SetLoop(vae.mutable_loop(), 2, 2);
  vae.set_base_dim(4);
  vae.set_z_dim(4);
  for (int multiple : {1, 1, 2, 2}) vae.add_dim_mult(multiple);
  vae.set_num_res_blocks(1);
  vae.set_crop_size(16);
  vae.set_crop_frames(5);
  vae.set_whole_every(2);
  vae.set_edge_weight(0.1);
  vae.set_kl_weight(1e-4);
  DitTrainingOptions& dit = *options.mutable_dit();
  SetLoop(dit.mutable_loop(), 2, 4);
  SetLoop(dit.mutable_expert_loop(), 1, 4);
  dit.set_num_heads(2);
  dit.set_head_dim(12);
  dit.set_num_layers(1);
  dit.set_ffn_dim(32);
  dit.set_freq_dim(16);
  dit.set_text_length(28);
  dit.set_text_dim(16);
  dit.set_text_layers(1);
  dit.set_text_heads(2);
  dit.set_text_ffn_dim(24);
  dit.set_vocabulary(256);
  dit.set_caption_dropout(0.1);
  dit.set_clips(6);
  dit.set_train_shift(3);
  dit.set_sample_shift(5);
  dit.set_boundary(0.875);
  dit.set_sample_steps(3);
  dit.set_sample_guidance(2);
  SetLoop(options.mutable_classifier()->mutable_loop(), 2, 4);
  options.mutable_classifier()->set_width(4);
  options.mutable_classifier()->set_third_weight(0.5);
  SetLoop(options.mutable_clip()->mutable_loop(), 2, 4);
  options.mutable_clip()->set_width(4);
  options.mutable_clip()->set_embed_dim(8);
  options.mutable_check()->set_prompts_per_language(1);
  return options;
}

TEST_CASE(
    "The stages make a model folder that the library opens, and a second run finds them done") {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "wanlite_digits_training_test";
  std::filesystem::remove_all(folder);
  DigitsTrainingRun run;
  run.env = &PosixEnv();
  run.options = TinyOptions();
  run.scans_path = kScansPath;
  run.out_dir = folder.string();
  REQUIRE_OK(TrainDigits(run));

  ASSERT_OK_AND_ASSIGN(
      const ModelFolder model,
      ModelFolder::Open(PosixEnv(), JoinPath(run.out_dir, "model"), {}, BuiltinArchitectures()));
  REQUIRE(model.layout() == FolderLayout::kDiffusers);
  REQUIRE(model.component_names().size() == 4);
  ASSERT_OK_AND_ASSIGN(ModelView view, model.BuildView());
  REQUIRE_OK(view.LoadAll());
  for (const NamedTensor& tensor : view.Tensors()) {
    INFO(tensor.name);
    REQUIRE(tensor.tensor.isfinite().all().item<bool>());
  }
  ASSERT_OK_AND_ASSIGN(const std::string check,
                       PosixEnv().ReadFile(JoinPath(run.out_dir, "check.json")));
  const auto read = nlohmann::json::parse(check);
  for (const char* set : {"held_out_prompts", "trained_prompts"}) {
    for (const char* row : {"English", "all", "real_clips"}) {
      INFO(set << ", " << row);
      REQUIRE(read[set][row]["digit_in_thirds"].size() == 3);
      REQUIRE(read[set][row]["digit_in_all_thirds"].is_number());
      REQUIRE(read[set][row]["digit_consistency"].is_number());
    }
  }

  ASSERT_OK_AND_ASSIGN(const std::string before,
                       PosixEnv().ReadFile(JoinPath(run.out_dir, "vae.safetensors")));
  run.stages = {"vae"};
  REQUIRE_OK(TrainDigits(run));
  ASSERT_OK_AND_ASSIGN(const std::string after,
                       PosixEnv().ReadFile(JoinPath(run.out_dir, "vae.safetensors")));
  REQUIRE(before == after);

  // A finished stage belongs to its options as much as an interrupted one.
  const auto refused = [&](const std::string& stage,
                           const std::function<void(DigitsTrainOptions&)>& change,
                           const std::string& named) {
    DigitsTrainingRun other = run;
    other.stages = {stage};
    change(other.options);
    const absl::Status status = TrainDigits(other);
    INFO(stage << ": " << status.ToString());
    CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(std::string(status.message()).find(named) != std::string::npos);
  };
  refused(
      "vae", [](DigitsTrainOptions& o) { o.set_seed(4); }, "seed: 3 -> 4");
  refused(
      "vae", [](DigitsTrainOptions& o) { o.mutable_data()->set_max_travel(13); }, "max_travel");
  refused(
      "vae", [](DigitsTrainOptions& o) { o.mutable_vae()->set_crop_size(32); }, "crop_size");
  refused(
      "vae", [](DigitsTrainOptions& o) { o.mutable_vae()->set_edge_weight(0.2); }, "edge_weight");
  refused(
      "clip", [](DigitsTrainOptions& o) { o.set_seed(4); }, "seed: 3 -> 4");
  refused(
      "dit", [](DigitsTrainOptions& o) { o.mutable_dit()->set_caption_dropout(0.2); },
      "caption_dropout");
  refused(
      "high", [](DigitsTrainOptions& o) { o.mutable_dit()->set_boundary(0.9); }, "boundary");
  refused(
      "classifier", [](DigitsTrainOptions& o) { o.set_seed(4); }, "seed: 3 -> 4");
  // What does not shape the steps may change.
  run.stages = {"vae", "dit", "high"};
  run.options.mutable_classifier()->set_width(8);
  run.options.mutable_dit()->set_sample_guidance(3);
  REQUIRE_OK(TrainDigits(run));
  // Exported again, the model that was there is put aside with whatever else is in its folder.
  REQUIRE_OK(PosixEnv().WriteFileAtomically(JoinPath(run.out_dir, "model/mine"), "1"));
  REQUIRE_OK(PosixEnv().CreateFolders(JoinPath(run.out_dir, "model.tmp")));
  run.stages = {"export"};
  REQUIRE_OK(TrainDigits(run));
  REQUIRE(PosixEnv().FileExists(JoinPath(run.out_dir, "model.1/mine")));
  REQUIRE(PosixEnv().FolderExists(JoinPath(run.out_dir, "model.tmp")));
  REQUIRE_FALSE(PosixEnv().FileExists(JoinPath(run.out_dir, "model/mine")));
  REQUIRE_OK(
      ModelFolder::Open(PosixEnv(), JoinPath(run.out_dir, "model"), {}, BuiltinArchitectures()));
  std::filesystem::remove_all(folder);
}

// Shows the same batch at every step.
class SameBatch : public train::Objective {
 public:
  explicit SameBatch(train::Objective& objective) : objective_(objective) {}
  std::vector<train::TrainedTensor> Parameters() override { return objective_.Parameters(); }
  Terms Loss(int64_t, int part, int parts) override { return objective_.Loss(0, part, parts); }

 private:
  train::Objective& objective_;
};

// Loss before and after overfitting one batch.
std::pair<double, double> Overfit(train::Objective& objective, int64_t steps) {
  const auto env = NewMemEnv();
  TrainLoop loop;
  SetLoop(&loop, steps, 2);
  loop.set_learning_rate(0.005);
  train::TrainRun run;
  run.env = env.get();
  run.what = "overfit";
  run.state_dir = "state";
  SameBatch same(objective);
  const double before = objective.Loss(0, 0, 1).total.item<double>();
  REQUIRE_OK(train::Train(train::LoopOf(loop), same, run));
  return {before, objective.Loss(0, 0, 1).total.item<double>()};
}

TEST_CASE("The VAE's loss goes down on a batch that it sees again and again") {
  const DigitsTrainOptions options = TinyOptions();
  ASSERT_OK_AND_ASSIGN(const DigitScans scans, DigitScans::Load(PosixEnv(), kScansPath));
  ASSERT_OK_AND_ASSIGN(const ClipGeometry geometry, CheckedGeometry(options.data()));
  ASSERT_OK_AND_ASSIGN(const auto vae, MakeVae(options.vae()));
  InitVae(*vae, 1);
  VaeObjective objective(*vae, scans, geometry, options.vae(), 2);
  const auto [before, after] = Overfit(objective, 40);
  REQUIRE(after < 0.6 * before);
}

TEST_CASE("DiT and text encoder learn a batch of noisy latents by its captions") {
  const DigitsTrainOptions options = TinyOptions();
  ASSERT_OK_AND_ASSIGN(const DigitScans scans, DigitScans::Load(PosixEnv(), kScansPath));
  CaptionTable captions;
  captions.captions = AllCaptions();
  captions.captions.insert(captions.captions.begin(), "");
  const auto count = static_cast<int64_t>(captions.captions.size());
  for (int64_t i = 0; i < count; ++i) captions.index[captions.captions[i]] = i;
  captions.ids = at::arange(count).remainder(20).unsqueeze(1).repeat({1, 3});
  captions.mask = at::ones({count, 3}, at::kLong);
  wan::Dit dit(MakeDitConfig(options.dit(), 4));
  dit.InitParameters(1);
  ASSERT_OK_AND_ASSIGN(const auto text, wan::Umt5::Create(MakeTextConfig(options.dit(), 20)));
  text->InitParameters(2);
  DitObjective::Data data;
  for (uint64_t i = 0; i < 6; ++i) {
    data.specs.push_back(SampleClip(scans, {}, Split::kTrain, Combinations::kTrained, i));
  }
  data.latents = at::randn({6, 4, 2, 4, 4}, at::make_generator<at::CPUGeneratorImpl>(9));
  data.captions = &captions;
  DitObjective objective(dit, text.get(), {}, data, options.dit(), 4, NoiseRange::kAll, 5);
  bool text_is_trained = false;
  for (const train::TrainedTensor& p : objective.Parameters())
    text_is_trained |= p.name.rfind("text.", 0) == 0;
  REQUIRE(text_is_trained);
  const auto [before, after] = Overfit(objective, 60);
  REQUIRE(after < 0.7 * before);
}

TEST_CASE("Shifting a noise level and back is the identity") {
  for (const double sigma : {0.0, 0.01, 0.3, 0.875, 1.0}) {
    REQUIRE(UnshiftSigma(ShiftSigma(sigma, 5), 5) == Approx(sigma));
  }
  REQUIRE(ShiftSigma(0.5, 1) == Approx(0.5));
  REQUIRE(ShiftSigma(0.5, 3) == Approx(0.75));
}

TEST_CASE("A reader learns from thirds of clips when asked to") {
  ASSERT_OK_AND_ASSIGN(const DigitScans scans, DigitScans::Load(PosixEnv(), kScansPath));
  DigitsClassifier classifier(4);
  classifier.InitParameters(1);
  ClipGeometry geometry;
  const auto loss = [&](double third_weight) {
    return ClassifierObjective(classifier, scans, geometry, 4, 5, false, third_weight)
        .Loss(0, 0, 1);
  };
  const auto whole = loss(0), both = loss(2);
  CHECK(whole.named.size() == 3);
  REQUIRE(both.named.size() == 4);
  CHECK(both.named[3].second > 0);
  CHECK(both.total.item<double>() == Approx(whole.total.item<double>() + 2 * both.named[3].second));
}

TEST_CASE("A saved classifier comes back with the same logits") {
  const auto env = NewMemEnv();
  DigitsClassifier classifier(4);
  classifier.InitParameters(1);
  REQUIRE_OK(classifier.Save(*env, "c"));
  ASSERT_OK_AND_ASSIGN(const auto loaded, DigitsClassifier::Load(*env, "c"));
  const at::Tensor video = at::rand({2, 3, 5, 32, 32}) * 2 - 1;
  at::NoGradGuard no_grad;
  REQUIRE(at::equal(loaded->forward(video).digit, classifier.forward(video).digit));
  REQUIRE_OK(env->WriteFileAtomically("c/config.json", R"({"width": 7})"));
  REQUIRE(DigitsClassifier::Load(*env, "c").status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("The shipped options of training can be read and describe networks") {
  ASSERT_OK_AND_ASSIGN(const DigitsTrainOptions options, LoadDigitsOptions(PosixEnv(), kConfig));
  REQUIRE_OK(CheckDigitsOptions(options, DigitsStages()));
}

TEST_CASE("Bad options of training are refused with the place and the name") {
  const auto env = NewMemEnv();
  REQUIRE_OK(env->WriteFileAtomically("t.textproto", "seed: 1\nvae {\n  bse_dim: 8\n}\n"));
  const absl::Status syntax = LoadDigitsOptions(*env, "t.textproto").status();
  REQUIRE(syntax.code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(std::string(syntax.message()).find("t.textproto:3:") == 0);
  REQUIRE(std::string(syntax.message()).find("bse_dim") != std::string::npos);

  const std::string out =
      (std::filesystem::temp_directory_path() / "wanlite_digits_refused").string();
  std::filesystem::remove_all(out);
  const auto refused = [&](const std::function<void(DigitsTrainOptions&)>& spoil,
                           const std::string& field) {
    DigitsTrainingRun run;
    run.env = &PosixEnv();
    run.options = TinyOptions();
    spoil(run.options);
    run.scans_path = kScansPath;
    run.out_dir = out;
    const absl::Status status = TrainDigits(run);
    INFO(field << ": " << status.ToString());
    REQUIRE(status.code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(std::string(status.message()).find(field) != std::string::npos);
  };
  refused([](DigitsTrainOptions& o) { o.mutable_data()->set_frames(16); }, "data.frames");
  refused([](DigitsTrainOptions& o) { o.mutable_data()->set_digit_size(64); }, "data.digit_size");
  refused([](DigitsTrainOptions& o) { o.mutable_dit()->set_boundary(1.5); }, "dit.boundary");
  refused([](DigitsTrainOptions& o) { o.mutable_dit()->set_head_dim(7); }, "dit.head_dim");
  refused([](DigitsTrainOptions& o) { o.mutable_dit()->set_clips(0); }, "dit.clips");
  // Of the later stages too, before the first one writes anything.
  refused([](DigitsTrainOptions& o) { o.mutable_vae()->set_z_dim(0); }, "z_dim");
  refused([](DigitsTrainOptions& o) { o.mutable_vae()->set_crop_size(20); }, "vae.crop_size");
  refused([](DigitsTrainOptions& o) { o.mutable_vae()->set_crop_frames(4); }, "vae.crop_frames");
  refused([](DigitsTrainOptions& o) { o.mutable_vae()->set_kl_weight(-1); }, "vae.kl_weight");
  refused([](DigitsTrainOptions& o) { o.mutable_vae()->mutable_loop()->set_steps(0); },
          "vae.loop.steps");
  refused([](DigitsTrainOptions& o) { o.mutable_clip()->set_width(3); }, "clip: width");
  refused([](DigitsTrainOptions& o) { o.mutable_clip()->set_embed_dim(0); }, "clip: embed_dim");
  refused([](DigitsTrainOptions& o) { o.mutable_clip()->mutable_loop()->set_batch(0); },
          "clip.loop.batch");
  refused([](DigitsTrainOptions& o) { o.mutable_dit()->mutable_loop()->set_ema_decay(1); },
          "dit.loop.ema_decay");
  refused(
      [](DigitsTrainOptions& o) { o.mutable_dit()->mutable_expert_loop()->set_learning_rate(0); },
      "dit.expert_loop.learning_rate");
  refused([](DigitsTrainOptions& o) { o.mutable_dit()->set_sample_steps(0); }, "dit: ");
  refused([](DigitsTrainOptions& o) { o.mutable_dit()->set_num_layers(5000); }, "num_layers");
  refused([](DigitsTrainOptions& o) { o.mutable_dit()->set_text_length(4); }, "dit.text_length");
  refused([](DigitsTrainOptions& o) { o.mutable_classifier()->set_width(3); }, "classifier: width");
  refused([](DigitsTrainOptions& o) { o.mutable_classifier()->set_third_weight(-1); },
          "classifier.third_weight");
  refused([](DigitsTrainOptions& o) { o.mutable_classifier()->mutable_loop()->set_workers(9); },
          "classifier.loop.workers");
  refused([](DigitsTrainOptions& o) { o.mutable_check()->set_prompts_per_language(0); },
          "check.prompts_per_language");
  CHECK_FALSE(PosixEnv().FolderExists(out));

  DigitsTrainingRun run;
  run.env = env.get();
  run.stages = {"dream"};
  const absl::Status unknown = TrainDigits(run);
  REQUIRE(unknown.code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(std::string(unknown.message()).find("dream") != std::string::npos);
}

}  // namespace
}  // namespace wanlite::digits
