// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/runner.h"

#include <cmath>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "src/core/text_table.h"
#include "src/evaluate/evaluate_layers.h"
#include "src/model/wan/sampler.h"
#include "src/ops/cpu/cpu_isa.h"
#include "src/runner/generate_settings.h"
#include "src/runner/hollow_model.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/checkpoint.h"
#include "wanlite/metrics.h"
#include "wanlite/sampling.h"

namespace wanlite {
namespace {

std::unique_ptr<Runner> OpenTiny(Env& env, const RunnerOptions& options = {}) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Runner> runner,
                       Runner::Open(env, "tiny", BuiltinArchitectures(), options));
  return runner;
}

bool Says(const absl::Status& status, const std::string& text) {
  return absl::StrContains(std::string(status.message()), text);
}

TEST_CASE("A folder's own defaults fill what a request leaves open") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  const auto runner = OpenTiny(*env);
  ASSERT_OK_AND_ASSIGN(const GenerateSettings own, runner->Resolve({}));
  CHECK(own.steps == 4);
  CHECK(own.frames == 5);
  CHECK(own.guidance == 2.0);
  CHECK(own.guidance_2 == 1.5);
  CHECK(own.shift == 3.0);
  CHECK(own.boundary_ratio == 0.875);
  CHECK(own.sampler == Sampler::kUniPc);
  CHECK(own.fps == 8);
  CHECK(own.prompts == std::vector<std::string>{"a red digit moves right"});

  GenerateRequest request;
  request.guidance = 7;
  request.width = 48;
  ASSERT_OK_AND_ASSIGN(const GenerateSettings asked, runner->Resolve(request));
  CHECK(asked.guidance == 7);
  CHECK(asked.guidance_2 == 7);  // as in diffusers, unless given too
  CHECK(asked.width == 48);
  request.initial_latents = at::zeros({1, 4, 3, 4, 8});
  ASSERT_OK_AND_ASSIGN(const GenerateSettings shaped, runner->Resolve(request));
  CHECK(shaped.frames == 9);
  CHECK(shaped.height == 32);
  CHECK(shaped.width == 64);
}

TEST_CASE("Without any defaults diffusers' stand") {
  ASSERT_OK_AND_ASSIGN(const FolderDefaults none, ParseFolderDefaults("", "", true));
  CHECK(none.settings.steps == 50);
  CHECK(none.settings.guidance == 5);
  CHECK(none.settings.frames == 81);
  CHECK(none.settings.shift == 5);
  CHECK(none.settings.boundary_ratio == 0.875);
  CHECK(absl::IsFailedPrecondition(
      ParseFolderDefaults(R"({"boundary_ratio": 0.9})", "", false).status()));
  CHECK(absl::IsInvalidArgument(ParseFolderDefaults("[1]", "", false).status()));
  CHECK(absl::IsInvalidArgument(
      ParseFolderDefaults(R"({"wanlite_defaults": {"num_frames": "many"}})", "", false).status()));
  CHECK(absl::IsInvalidArgument(
      ParseFolderDefaults(R"({"wanlite_defaults": {"prompts": [1]}})", "", false).status()));
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& json : {"{\"wanlite_defaults\": {\"x\": " + deep + "}}",
                                  "{\"wanlite_defaults\": {\"fps\": " + deep + "}}",
                                  "{\"wanlite_defaults\": " + deep + "}"}) {
    const absl::Status refused = ParseFolderDefaults(json, "", false).status();
    CHECK(absl::IsInvalidArgument(refused));
    CHECK(Says(refused, "nested deeper than"));
  }
}

TEST_CASE("A folder with few steps runs as it says, and another number of steps by its grid") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  ASSERT_OK_AND_ASSIGN(const std::string index, env->ReadFile("tiny/model_index.json"));
  ASSERT_OK_AND_ASSIGN(const std::string scheduler,
                       env->ReadFile("tiny/scheduler/scheduler_config.json"));
  FewSteps few;
  few.steps = 3;
  few.stochastic = true;
  few.shift = 7;
  few.timesteps = {1000, 757, 522};
  few.boundary_step = 1;
  ASSERT_OK_AND_ASSIGN(const PipelineFiles files, WithFewSteps({index, scheduler}, few));
  REQUIRE_OK(env->WriteFileAtomically("tiny/model_index.json", files.model_index));
  REQUIRE_OK(
      env->WriteFileAtomically("tiny/scheduler/scheduler_config.json", files.scheduler_config));
  const auto runner = OpenTiny(*env);
  ASSERT_OK_AND_ASSIGN(const GenerateSettings own, runner->Resolve({}));
  CHECK(own.steps == 3);
  CHECK(own.sampler == Sampler::kLcm);
  CHECK(own.shift == 7);
  CHECK(own.timesteps == few.timesteps);
  CHECK(own.boundary_step == 1);
  CHECK(own.guidance == 1);
  CHECK(own.fps == 8);  // all else is as it was
  ASSERT_OK_AND_ASSIGN(const std::vector<ForwardCall> calls, runner->PlanForwards({}));
  REQUIRE(calls.size() == 3);  // one evaluation a step
  const std::vector<double> sigmas = SigmasOf(few);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(calls[i].timestep == Approx(1000 * sigmas[i]).epsilon(1e-6));
    CHECK(calls[i].component == (i == 0 ? "transformer" : "transformer_2"));
  }
  // The ratio says the same, for who does not read the step.
  ASSERT_OK_AND_ASSIGN(const SamplingDefaults read, ReadSampling(files));
  CHECK((read.boundary_ratio < sigmas[0] && read.boundary_ratio > sigmas[1]));

  GenerateRequest request;
  request.seed = 5;
  ASSERT_OK_AND_ASSIGN(const GenerateResult once, runner->Generate(request));
  ASSERT_OK_AND_ASSIGN(const GenerateResult again, runner->Generate(request));
  CHECK(at::equal(once.latents, again.latents));
  CHECK(once.calls.at("transformer") == 1);
  CHECK(once.calls.at("transformer_2") == 2);

  request.steps = 2;
  ASSERT_OK_AND_ASSIGN(const GenerateSettings two, runner->Resolve(request));
  CHECK(two.timesteps.empty());
  CHECK_FALSE(two.boundary_step.has_value());
  request.timesteps = std::vector<double>{1000, 500, 250, 100};
  CHECK(Says(runner->Resolve(request).status(), "4 timesteps"));
  request.steps.reset();
  request.boundary_step = 3;
  ASSERT_OK_AND_ASSIGN(const std::vector<ForwardCall> four, runner->PlanForwards(request));
  REQUIRE(four.size() == 4);
  CHECK(four[2].component == "transformer");
  CHECK(four[3].component == "transformer_2");
  request.boundary_step = 5;
  CHECK(Says(runner->Resolve(request).status(), "boundary step is 5"));
  request.boundary_step = 1;
  request.boundary_ratio = 0.5;
  CHECK(Says(runner->Resolve(request).status(), "one of them"));
}

TEST_CASE("Requests that cannot be are refused with what would fit") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  const auto runner = OpenTiny(*env);
  const auto refused = [&](const auto& edit) {
    GenerateRequest request;
    edit(request);
    const absl::Status status = runner->Resolve(request).status();
    CHECK(absl::IsInvalidArgument(status));
    return status;
  };
  CHECK(Says(refused([](auto& r) { r.frames = 6; }), "5 or 9"));
  CHECK(Says(refused([](auto& r) { r.height = 40; }), "32 or 48"));
  CHECK(Says(refused([](auto& r) { r.width = 8; }), "16"));
  CHECK(Says(refused([](auto& r) { r.steps = 0; }), "steps is 0"));
  CHECK(Says(refused([](auto& r) { r.shift = std::nan(""); }), "shift"));
  CHECK(Says(refused([](auto& r) { r.guidance = -1; }), "guidance"));
  CHECK(Says(refused([](auto& r) { r.initial_latents = at::zeros({1, 5, 2, 4, 4}); }), "[1, 4"));
  CHECK(Says(refused([](auto& r) {
               r.prompt_embeds = at::zeros({1, 16, 16});
             }),
             "negative_prompt_embeds"));
  CHECK(Says(refused([](auto& r) {
               r.frames = 16381;
               r.height = r.width = 16384;
             }),
             "16381 frames of 16384x16384"));
}

TEST_CASE("A second guidance that would be dropped is refused") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  GenerateRequest request;
  request.guidance = 1;
  request.guidance_2 = 3;
  absl::Status status = OpenTiny(*env)->Resolve(request).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(Says(status, "guidance 2 is 3, but guidance 1 turns guidance off for both"));
  request.guidance_2 = 1;
  REQUIRE_OK(OpenTiny(*env)->Resolve(request));

  testing::TinyWanOptions one_expert;
  one_expert.two_experts = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny", one_expert));
  REQUIRE_OK(env->RemoveAll("tiny/transformer_2"));
  const auto one = OpenTiny(*env);
  request.guidance = 4;
  request.guidance_2 = 3;
  status = one->Resolve(request).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(Says(status, "needs two experts"));
  request.guidance_2 = 4;
  ASSERT_OK_AND_ASSIGN(const GenerateSettings settings, one->Resolve(request));
  CHECK(settings.guidance_2 == 4);
}

TEST_CASE("Forwards are counted as they run: an expert without guidance runs once a step") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  GenerateRequest request;
  request.prompt = "a";
  request.steps = 6;
  request.guidance = 3;
  request.decode = false;
  ASSERT_OK_AND_ASSIGN(const GenerateResult both, OpenTiny(*env)->Generate(request));
  REQUIRE(both.calls.at("transformer") > 0);
  REQUIRE(both.calls.at("transformer_2") > 0);
  request.guidance_2 = 1;
  ASSERT_OK_AND_ASSIGN(const GenerateResult high, OpenTiny(*env)->Generate(request));
  CHECK(high.calls.at("transformer") == both.calls.at("transformer"));
  CHECK(2 * high.calls.at("transformer_2") == both.calls.at("transformer_2"));
}

TEST_CASE("A prompt that is longer than the text length is told, with what was cut") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  const auto runner = OpenTiny(*env);
  GenerateRequest request;
  request.prompt = "a red digit moves right";
  request.decode = false;
  ASSERT_OK_AND_ASSIGN(const GenerateResult fits, runner->Generate(request));
  CHECK(fits.warnings.empty());
  std::string text;
  for (int i = 0; i < 40; ++i) text += " 数 digit";
  request.prompt += text;
  request.negative_prompt = text;
  ASSERT_OK_AND_ASSIGN(const GenerateResult cut, runner->Generate(request));
  REQUIRE(cut.warnings.size() == 2);
  CHECK(absl::StrContains(cut.warnings[0], "the prompt is longer than the 16 tokens"));
  CHECK(absl::StrContains(cut.warnings[1], "the negative prompt is longer than the 16 tokens"));
  // What was cut begins with a whole character, and what was read is not in it.
  const size_t quote = cut.warnings[0].find('\'');
  CHECK((static_cast<unsigned char>(cut.warnings[0][quote + 1]) & 0xC0) != 0x80);
  CHECK_FALSE(absl::StrContains(cut.warnings[0], "red"));
}

TEST_CASE("A folder's own rate must be one that videos carry") {
  for (const char* fps : {"0", "0.004", "-2", "1000"}) {
    INFO(fps);
    const absl::Status status =
        ParseFolderDefaults(std::string(R"({"wanlite_defaults": {"fps": )") + fps + "}}", "", false)
            .status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(Says(status, "wanlite_defaults.fps"));
    CHECK(Says(status, "[0.01, 240]"));
  }
}

TEST_CASE("The same request gives the same video, another seed another one") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  const auto runner = OpenTiny(*env);
  GenerateRequest request;
  request.prompt = "a red digit moves right";
  request.seed = 3;
  ASSERT_OK_AND_ASSIGN(const GenerateResult first, runner->Generate(request));
  CHECK(first.frames.sizes() == at::IntArrayRef({5, 32, 32, 3}));
  CHECK(first.frames.scalar_type() == at::kByte);
  CHECK(first.latents.sizes() == at::IntArrayRef({1, 4, 2, 4, 4}));
  CHECK(first.calls.at("text_encoder") == 2);
  CHECK(first.calls.at("transformer") + first.calls.at("transformer_2") == 8);
  ASSERT_OK_AND_ASSIGN(const GenerateResult second, OpenTiny(*env)->Generate(request));
  CHECK(at::equal(first.latents, second.latents));
  CHECK(at::equal(first.frames, second.frames));
  request.seed = 4;
  ASSERT_OK_AND_ASSIGN(const GenerateResult other, runner->Generate(request));
  CHECK_FALSE(at::equal(first.latents, other.latents));
  request.seed = 3;
  request.prompt = "a cat";
  ASSERT_OK_AND_ASSIGN(const GenerateResult cat, runner->Generate(request));
  CHECK_FALSE(at::equal(first.latents, cat.latents));
}

TEST_CASE("Embeddings and latents given by hand take the place of text encoder and seed") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  const auto runner = OpenTiny(*env);
  GenerateRequest request;
  request.prompt = "a red digit moves right";
  request.seed = 5;
  request.decode = false;
  ASSERT_OK_AND_ASSIGN(const GenerateResult by_text, runner->Generate(request));
  CHECK_FALSE(by_text.frames.defined());
  GenerateRequest given;
  given.decode = false;
  ASSERT_OK_AND_ASSIGN(given.prompt_embeds, runner->EncodePrompt(request.prompt));
  ASSERT_OK_AND_ASSIGN(given.negative_prompt_embeds, runner->EncodePrompt(""));
  given.initial_latents = wan::InitialLatents({1, 4, 2, 4, 4}, 5);
  ASSERT_OK_AND_ASSIGN(const GenerateResult by_hand, runner->Generate(given));
  CHECK(at::equal(by_text.latents, by_hand.latents));
  CHECK(by_hand.calls.count("text_encoder") == 0);
}

TEST_CASE("Rows after the end of the text are zero") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  ASSERT_OK_AND_ASSIGN(const at::Tensor embeds, OpenTiny(*env)->EncodePrompt(""));
  REQUIRE(embeds.sizes() == at::IntArrayRef({1, 16, 16}));
  CHECK(embeds[0][0].abs().sum().item<double>() > 0);  // the end of sentence
  CHECK(embeds[0].narrow(0, 1, 15).abs().sum().item<double>() == 0);
}

TEST_CASE("bf16 stays near fp32 and keeps the VAE in fp32") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  RunnerOptions bf16;
  bf16.dtype = at::kBFloat16;
  const std::map<std::string, at::Tensor> inputs{
      {"hidden_states", testing::SeededUniform("x", {1, 4, 2, 4, 4})},
      {"timestep", at::full({1}, 700, at::kLong)},
      {"encoder_hidden_states", testing::SeededUniform("t", {1, 16, 16})}};
  ASSERT_OK_AND_ASSIGN(const auto full, OpenTiny(*env)->Forward("transformer", inputs));
  ASSERT_OK_AND_ASSIGN(const auto half, OpenTiny(*env, bf16)->Forward("transformer", inputs));
  CHECK(half.at("sample").scalar_type() == at::kFloat);
  const double error = testing::RelativeL2(half.at("sample"), full.at("sample"));
  CHECK(error > 1e-5);
  CHECK(error < 0.05);
  const std::map<std::string, at::Tensor> latents{
      {"latents", testing::SeededUniform("z", {1, 4, 2, 2, 2})}};
  ASSERT_OK_AND_ASSIGN(const auto video, OpenTiny(*env)->Forward("vae.decode", latents));
  ASSERT_OK_AND_ASSIGN(const auto same, OpenTiny(*env, bf16)->Forward("vae.decode", latents));
  CHECK(at::equal(video.at("sample"), same.at("sample")));
}

TEST_CASE("bf16 on a CPU without bf16 arithmetic is warned of") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  GenerateRequest request;
  request.prompt = "a digit";
  request.decode = false;
  RunnerOptions options;
  ASSERT_OK_AND_ASSIGN(const GenerateResult full, OpenTiny(*env, options)->Generate(request));
  CHECK(full.warnings.empty());
  options.dtype = at::kBFloat16;
  ASSERT_OK_AND_ASSIGN(const GenerateResult half, OpenTiny(*env, options)->Generate(request));
  REQUIRE(half.warnings.size() == (ops::CpuMultipliesBf16() ? 0 : 1));
  if (!half.warnings.empty()) {
    CHECK(absl::StrContains(half.warnings[0], "no bf16 arithmetic"));
  }
}

TEST_CASE("A cancelled run stops with Cancelled") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  CancellationToken cancel;
  RunnerOptions options;
  options.cancel = &cancel;
  const auto runner = OpenTiny(*env, options);
  cancel.Cancel();
  GenerateRequest request;
  request.prompt = "a";
  CHECK(absl::IsCancelled(runner->Generate(request).status()));
}

// Sets the first value of one tensor in a file, or all of them.
void Damage(Env& env, const std::string& file, const std::string& tensor, double value,
            bool all = false) {
  std::vector<NamedTensor> tensors;
  bool found = false;
  {
    ASSERT_OK_AND_ASSIGN(const auto source, OpenSafetensors(env, file));
    for (const TensorInfo& info : source->tensors()) {
      ASSERT_OK_AND_ASSIGN(at::Tensor read, source->Read(info.name));
      read = read.clone();
      if (info.name == tensor) {
        read.view({-1}).narrow(0, 0, all ? read.numel() : 1).fill_(value);
        found = true;
      }
      tensors.push_back({info.name, read});
    }
  }
  REQUIRE(found);
  REQUIRE_OK(WriteSafetensors(env, file, tensors));
}

TEST_CASE("NaN and infinities are said where they began, not shown as a video") {
  GenerateRequest request;
  request.prompt = "a";
  const auto error = [&](Env& env) {
    const absl::Status status = OpenTiny(env)->Generate(request).status();
    INFO(status.ToString());
    CHECK(absl::IsDataLoss(status));
    return status;
  };
  const std::string weights = "/diffusion_pytorch_model.safetensors";
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    const auto vae = NewMemEnv();
    REQUIRE_OK(testing::WriteTinyWan(*vae, "tiny"));
    // The very last addition: clamped, an infinity looks like white.
    Damage(*vae, "tiny/vae" + weights, "decoder.conv_out.bias", value);
    CHECK(Says(error(*vae), "vae.decoder.head.2.bias holds a NaN or an infinity"));
    const auto dit = NewMemEnv();
    REQUIRE_OK(testing::WriteTinyWan(*dit, "tiny"));
    Damage(*dit, "tiny/transformer_2" + weights, "proj_out.bias", value);
    CHECK(Says(error(*dit), "transformer_2: the latents after step"));
  }
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  // Finite weights, but too large for what is computed with them.
  Damage(*env, "tiny/vae" + weights, "post_quant_conv.weight", 3e38, /*all=*/true);
  CHECK(Says(error(*env), "the decoded frames 1 to 1 of 5 hold a NaN"));
  request.initial_latents = at::full({1, 4, 2, 4, 4}, std::nan(""));
  CHECK(Says(error(*env), "initial_latents hold a NaN"));
  request.initial_latents = at::Tensor();
  request.prompt_embeds = request.negative_prompt_embeds = at::zeros({1, 16, 16});
  request.prompt_embeds = at::full({1, 16, 16}, HUGE_VAL);
  CHECK(Says(error(*env), "the embedding of the prompt holds"));
}

TEST_CASE("What throws inside the runner comes out as a Status") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  GenerateRequest request;
  request.prompt = "a";
  request.before_forward = [](const ForwardCall&, const std::map<std::string, at::Tensor>&) {
    TORCH_CHECK_WITH(OutOfMemoryError, false, "no memory for what is observed");
    return absl::OkStatus();
  };
  const absl::Status status = OpenTiny(*env)->Generate(request).status();
  CHECK(absl::IsResourceExhausted(status));
  CHECK(Says(status, "no memory for what is observed"));
}

TEST_CASE("Layers are not compared when the numbers of blocks differ, which names both") {
  const auto env = NewMemEnv();
  testing::TinyWanOptions options;
  options.text_encoder = options.vae = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "two", options));
  options.layers = 1;
  REQUIRE_OK(testing::WriteTinyWan(*env, "one", options));
  const auto& architectures = BuiltinArchitectures();
  ASSERT_OK_AND_ASSIGN(const ModelFolder two, ModelFolder::Open(*env, "two", {}, architectures));
  ASSERT_OK_AND_ASSIGN(const ModelFolder one, ModelFolder::Open(*env, "one", {}, architectures));
  REQUIRE_OK(ReportLayers(two, &two, nullptr));
  const absl::Status refused = ReportLayers(one, &two, nullptr).status();
  CHECK(absl::IsInvalidArgument(refused));
  CHECK(Says(refused, "'one' has 2 blocks, the original 'two' has 3"));
}

TEST_CASE("Layers of a model without some blocks are compared with those that they were") {
  const auto env = NewMemEnv();
  testing::TinyWanOptions options;
  options.text_encoder = options.vae = false;
  options.layers = 3;
  REQUIRE_OK(testing::WriteTinyWan(*env, "three", options));
  const auto& architectures = BuiltinArchitectures();
  ASSERT_OK_AND_ASSIGN(const ModelFolder three,
                       ModelFolder::Open(*env, "three", {}, architectures));
  ASSERT_OK_AND_ASSIGN(ModelView view, three.BuildView());
  REQUIRE_OK(view.DropBlocks({"transformer.blocks.0"}));
  REQUIRE_OK(view.LoadAll());
  REQUIRE_OK(SaveCheckpoint(*env, "two", view, &three));
  ASSERT_OK_AND_ASSIGN(const ModelFolder two, ModelFolder::Open(*env, "two", {}, architectures));
  ASSERT_OK_AND_ASSIGN(const std::vector<LayerReport> layers, ReportLayers(two, &three, nullptr));
  int in_blocks = 0;
  for (const LayerReport& layer : layers) {
    CAPTURE(layer.path);
    CHECK(layer.relative_error == 0);
    in_blocks += absl::StrContains(layer.path, "transformer.blocks.1.");
  }
  CHECK(in_blocks == 10);
  // The other way round, the first block has nothing to be compared with.
  ASSERT_OK_AND_ASSIGN(const std::vector<LayerReport> back, ReportLayers(three, &two, nullptr));
  for (const LayerReport& layer : back) {
    CAPTURE(layer.path);
    if (absl::StrContains(layer.path, "transformer.blocks.0.")) {
      CHECK(std::isnan(layer.relative_error));
    } else {
      CHECK(layer.relative_error == 0);
    }
  }
}

TEST_CASE("A folder of configs opens hollow, with the dtype it names") {
  const auto env = NewMemEnv();
  testing::TinyWanOptions configs;
  configs.weights = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "configs", configs));
  REQUIRE_OK(testing::WriteTinyWan(*env, "whole"));
  ASSERT_OK_AND_ASSIGN(const HollowModel hollow,
                       OpenHollow(*env, "configs", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(const HollowModel whole,
                       OpenHollow(*env, "whole", {}, BuiltinArchitectures()));
  CHECK_FALSE(hollow.folder.has_value());
  CHECK(whole.folder.has_value());
  CHECK(CountParameters(hollow.view) == CountParameters(whole.view));
  ASSERT_OK_AND_ASSIGN(const at::Tensor weight,
                       hollow.view.FindTensor("transformer.blocks.0.self_attn.q.weight"));
  CHECK(weight.scalar_type() == at::kBFloat16);
  CHECK(TextLength(hollow.view) == 16);
  ASSERT_OK_AND_ASSIGN(const HollowModel one,
                       OpenHollow(*env, "configs/vae/config.json", {}, BuiltinArchitectures()));
  CHECK(one.view.components().front().name == "vae");
  CHECK(absl::IsNotFound(OpenHollow(*env, "none", {}, BuiltinArchitectures()).status()));
}

TEST_CASE("Numbers for people keep four digits at most") {
  CHECK(FormatBytes(1500000) == "1.50 MB");
  CHECK(FormatCount(14288491584) == "14.29 B");
  CHECK(FormatCount(812) == "812");
  CHECK(FormatOps(1.6784e15) == "1.678 PFLOP");
  CHECK(FormatSeconds(0.0482) == "48.2 ms");
  CHECK(FormatSeconds(245.2) == "4 min 05 s");
  CHECK(FormatTable({{"a", "bb"}, {"ccc", "d"}}) == "a    bb\nccc   d\n");
}

}  // namespace
}  // namespace wanlite
