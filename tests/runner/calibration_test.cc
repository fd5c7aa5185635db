// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// From prompts to a calibrated model: recorded, streamed through transformers and text encoder.
#include <memory>
#include <string>

#include "src/core/libtorch.h"
#include "tests/pipeline/toy_gptq.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/block_program.h"
#include "wanlite/pipeline.h"
#include "wanlite/record.h"
#include "wanlite/registry.h"

namespace wanlite {
namespace {

void RecordTiny(Env& env, const std::string& prompt, uint64_t seed, const std::string& out) {
  ASSERT_OK_AND_ASSIGN(const auto runner, Runner::Open(env, "/tiny", BuiltinArchitectures(), {}));
  RecordRequest request;
  request.prompts = {prompt, prompt + " right"};
  request.generate.steps = 6;
  request.generate.frames = 9;
  request.generate.height = request.generate.width = 64;
  request.generate.seed = seed;
  request.samples = 12;
  REQUIRE_OK(RecordSamples(env, *runner, request, out));
}

ModelView CompressTiny(Env& env, const std::string& type, const SampleSet& samples) {
  PassRegistry registry = BuiltinPasses();
  REQUIRE_OK(testing::RegisterToyGptq(registry));
  ASSERT_OK_AND_ASSIGN(
      const ParsedRecipe recipe,
      ParsedRecipe::Parse(
          "passes { custom { [type.googleapis.com/google.protobuf." + type + "] { value: 4 } } }",
          "recipe", registry));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(env, "/tiny", {}, BuiltinArchitectures()));
  REQUIRE_OK(samples.CheckFits(*folder.BuildView()));
  CompressOptions options;
  options.out_dir = "/" + type;
  options.samples = &samples;
  REQUIRE_OK(CompressFolder(env, recipe, folder, BuiltinArchitectures(), options));
  ASSERT_OK_AND_ASSIGN(const ModelFolder made,
                       ModelFolder::Open(env, options.out_dir, {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, made.BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

TEST_CASE(
    "a Wan model is calibrated on what was recorded, and better than without on what was not") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "/tiny"));
  RecordTiny(*env, "a red digit moves", 1, "/samples");
  RecordTiny(*env, "the green digit", 77, "/unseen");
  ASSERT_OK_AND_ASSIGN(const SampleSet samples, SampleSet::Open(*env, "/samples"));
  ASSERT_OK_AND_ASSIGN(const SampleSet unseen, SampleSet::Open(*env, "/unseen"));
  const ModelView gptq = CompressTiny(*env, "UInt32Value", samples);
  const ModelView round = CompressTiny(*env, "UInt64Value", samples);
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/tiny", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView original, folder.BuildView());
  REQUIRE_OK(original.LoadAll());
  for (const char* component : {"transformer", "transformer_2", "text_encoder"}) {
    double by_gptq = 0, by_round = 0;
    for (int64_t i = 0; i < unseen.size(component); ++i) {
      ASSERT_OK_AND_ASSIGN(const Values values, unseen.Read(component, i));
      const auto run = [&](const ModelView& view) {
        return ProgramOf(*view.FindComponent(component))->Run(values);
      };
      const at::Tensor want = run(original);
      by_gptq += (run(gptq) - want).square().sum().item<double>();
      by_round += (run(round) - want).square().sum().item<double>();
    }
    INFO(component << ": squared error " << by_gptq << " with GPTQ, " << by_round << " rounded");
    CHECK(by_gptq > 0);
    CHECK(by_gptq < 0.9 * by_round);
  }
}

}  // namespace
}  // namespace wanlite
