// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Terms of distill that need to know of noise, frames and captions, on a tiny Wan.
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/alignment.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Catch::Contains;

// Colours beside words: a video by its mean colour, a caption by its letters.
class ColourEncoder : public VideoTextEncoder {
 public:
  const std::string& name() const override { return name_; }
  const std::string& fingerprint() const override { return name_; }
  at::Tensor EmbedVideo(const at::Tensor& video) const override {
    const at::Tensor colour = video.mean({2, 3, 4});
    return colour / colour.norm(2, {1}, true).clamp_min(1e-6);
  }
  absl::StatusOr<at::Tensor> EmbedText(const std::vector<std::string>& prompts) const override {
    std::vector<at::Tensor> rows;
    for (const std::string& prompt : prompts) {
      const bool red = prompt == "red";
      rows.push_back(at::tensor({red ? 1.f : -1.f, 0.f, 0.f}));
    }
    return at::stack(rows);
  }

 private:
  std::string name_ = "colours";
};

// One expert with its decoder at /model; /samples with captions.
std::unique_ptr<Env> CaptionedWan() {
  std::unique_ptr<Env> env = NewMemEnv();
  testing::TinyWanOptions options;
  options.two_experts = false;
  options.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model", options));
  SampleSetInfo info;
  info.prompts = {"red", "dark"};
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", info));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  at::Generator generator = at::detail::createCPUGenerator(7);
  for (int64_t i = 0; i < 8; ++i) {
    SampleInfo sample;
    sample.component = "transformer";
    sample.prompt = i % 2;
    sample.branch = i == 5 ? "negative" : "conditional";
    sample.timestep = 100 * static_cast<double>(i + 1);
    const auto add = [&](const char* value, const at::Tensor& tensor) {
      sample.values[value] = absl::StrCat(i, ".", value);
      tensors.push_back({sample.values[value], tensor});
    };
    add("hidden_states", at::randn({1, 4, 2, 4, 4}, generator));
    add("timestep", at::full({1}, 100 * (i + 1), at::kLong));
    add("encoder_hidden_states", at::randn({1, 16, 16}, generator));
    add("target", at::randn({1, 4, 2, 4, 4}, generator));
    samples.push_back(sample);
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  return env;
}

absl::StatusOr<RunReport> DistilWan(Env& env, const std::string& options, const std::string& out,
                                    const VideoTextEncoder* encoder = nullptr,
                                    const std::string& before = "") {
  WANLITE_ASSIGN_OR_RETURN(
      const ParsedRecipe recipe,
      ParsedRecipe::Parse(absl::StrCat(before, "passes { distill { ", options,
                                       " loop { steps: 12 batch: 8 learning_rate: 0.003 } } }"),
                          "r", BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(env, "/model", {}, BuiltinArchitectures()));
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, "/samples"));
  CompressOptions run;
  run.out_dir = out;
  run.log_dir = out + ".log";
  run.samples = &set;
  run.alignment = encoder;
  return CompressFolder(env, recipe, folder, BuiltinArchitectures(), run);
}

// The first and the last mean of a term over four steps.
std::pair<double, double> EndsOf(Env& env, const std::string& out, const std::string& term) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       env.ReadFile(out + ".log/stage-1-distill/transformer.jsonl"));
  std::vector<double> values;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    values.push_back(nlohmann::json::parse(line.begin(), line.end())["terms"][term].get<double>());
  }
  REQUIRE(values.size() == 12);
  const auto mean = [&](size_t begin) {
    return (values[begin] + values[begin + 1] + values[begin + 2] + values[begin + 3]) / 4;
  };
  return {mean(0), mean(8)};
}

TEST_CASE("noise levels, frames and captions have a part in the loss of a video model") {
  const std::unique_ptr<Env> disk = CaptionedWan();
  const ColourEncoder encoder;
  const std::map<std::string, std::string> terms = {
      {"clean", "squared_error { wanted: DATA of: CLEAN levels { kind: MIN_SNR } }"},
      {"noise", "squared_error { wanted: DATA of: NOISE levels { kind: LOGIT_NORMAL } }"},
      {"cosine", "clip { }"},
      {"contrastive", "clip { form: CONTRASTIVE scale: 5 }"},
      {"quiet", "clip { max_sigma: 0.5 }"}};
  for (const auto& [name, term] : terms) {
    const std::string out = "/" + name;
    ASSERT_OK_AND_ASSIGN(
        const RunReport report,
        DistilWan(*disk,
                  absl::StrCat("teacher: NO_TEACHER terms { ", term, " name: \"", name, "\" }"),
                  out, &encoder));
    const auto [before, after] = EndsOf(*disk, out, name);
    INFO(name << ": " << before << " -> " << after);
    CHECK(after < 0.97 * before);
    const bool clip = name == "cosine" || name == "contrastive" || name == "quiet";
    CHECK(report.passes[0].notes.size() == (clip ? 2 : 1));
  }
  // Its own teacher, so that all is zero; what a level weighs is told apart by the toy's tests.
  for (const char* term : {"relation { rows: FRAMES }", "relation { rows: TOKENS }",
                           "gaussian_kl { levels { kind: COS_MAP } }"}) {
    const std::string out = absl::StrCat("/own", std::string(term).substr(9, 4));
    REQUIRE_OK(disk->RemoveAll(out));
    REQUIRE_OK(disk->RemoveAll(out + ".log"));
    REQUIRE_OK(DistilWan(*disk, absl::StrCat("terms { ", term, " name: \"own\" }"), out));
    // Rounding moves Adam all the same.
    CHECK(EndsOf(*disk, out, "own").first < 1e-4);
    REQUIRE_OK(disk->RemoveAll(out));
  }
}

TEST_CASE("a text encoder learns what the denoiser makes of its tokens, from prompts alone") {
  std::unique_ptr<Env> env = NewMemEnv();
  testing::TinyWanOptions options;
  options.two_experts = options.vae = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model", options));
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", {}));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  at::Generator generator = at::detail::createCPUGenerator(8);
  for (int64_t i = 0; i < 9; ++i) {
    SampleInfo sample;
    sample.component = i < 8 ? "text_encoder" : "transformer";
    const auto add = [&](const char* value, const at::Tensor& tensor) {
      sample.values[value] = absl::StrCat(i, ".", value);
      tensors.push_back({sample.values[value], tensor});
    };
    if (i < 8) {
      add("input_ids", at::randint(0, 20, {1, 16}, generator, at::kLong));
      add("attention_mask", (at::arange(16, at::kLong) < 3 + i).to(at::kLong).unsqueeze(0));
    } else {
      add("hidden_states", at::randn({1, 4, 2, 4, 4}, generator));
      add("timestep", at::full({1}, 500, at::kLong));
      add("encoder_hidden_states", at::randn({1, 16, 16}, generator));
    }
    samples.push_back(sample);
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  for (const bool cache : {false, true}) {
    const std::string out = cache ? "/cached" : "/live";
    ASSERT_OK_AND_ASSIGN(
        const RunReport report,
        DistilWan(
            *env,
            absl::StrCat("components: \"text_encoder\" terms { projected { } } cache: ", cache),
            out, nullptr,
            "passes { prune_magnitude { amount: 0.4 linears { components: \"text_encoder\" } "
            "} }"));
    const std::map<std::string, double>& metrics = report.passes[1].metrics;
    INFO(metrics.at("text_encoder.error_before")
         << " -> " << metrics.at("text_encoder.error_after"));
    CHECK(metrics.at("text_encoder.error_before") > 0.05);
    CHECK(metrics.at("text_encoder.error_after") < 0.9 * metrics.at("text_encoder.error_before"));
  }
  const std::string refused = std::string(
      DistilWan(*env, "components: \"text_encoder\" terms { projected { value: \"noise\" } }",
                "/no")
          .status()
          .message());
  CHECK_THAT(refused, Contains("does not make a value 'noise'"));
}

TEST_CASE("a clip term without its encoder, or without a decoder, is refused before training") {
  const std::unique_ptr<Env> disk = CaptionedWan();
  CHECK_THAT(
      std::string(
          DistilWan(*disk, "teacher: NO_TEACHER terms { clip { } }", "/no").status().message()),
      Contains("--clip"));
  REQUIRE_OK(disk->RemoveAll("/no.run"));
  const std::unique_ptr<Env> blind = NewMemEnv();
  for (const auto& [path, bytes] : testing::FilesOf(*disk, "/samples")) {
    REQUIRE_OK(blind->CreateFolders("/samples"));
    REQUIRE_OK(blind->WriteFileAtomically("/samples/" + path, bytes));
  }
  testing::TinyWanOptions options;
  options.two_experts = options.text_encoder = options.vae = false;
  REQUIRE_OK(testing::WriteTinyWan(*blind, "/model", options));
  const ColourEncoder encoder;
  CHECK_THAT(
      std::string(DistilWan(*blind, "teacher: NO_TEACHER terms { clip { } }", "/no", &encoder)
                      .status()
                      .message()),
      Contains("no autoencoder"));
}

}  // namespace
}  // namespace wanlite
