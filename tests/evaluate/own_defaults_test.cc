// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Models that are compared each by its own defaults.
#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "src/evaluate/evaluate.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/architecture.h"
#include "wanlite/sampling.h"

namespace wanlite {
namespace {

TEST_CASE("A candidate is sampled as its own folder says, unless the caller does") {
  const auto env = NewMemEnv();
  for (const char* dir : {"original", "same", "few"}) REQUIRE_OK(testing::WriteTinyWan(*env, dir));
  ASSERT_OK_AND_ASSIGN(const std::string index, env->ReadFile("few/model_index.json"));
  FewSteps few;
  few.steps = 2;
  few.boundary_step = 1;
  ASSERT_OK_AND_ASSIGN(const PipelineFiles files, WithFewSteps({index, "{}"}, few));
  REQUIRE_OK(env->WriteFileAtomically("few/model_index.json", files.model_index));
  REQUIRE_OK(
      env->WriteFileAtomically("few/scheduler/scheduler_config.json", files.scheduler_config));
  EvaluateOptions options;
  options.original = "original";
  options.candidates = {"same", "few"};
  options.prompts = {"a red digit moves right"};
  options.repeats = 1;
  ASSERT_OK_AND_ASSIGN(const EvaluateReport report,
                       Evaluate(*env, BuiltinArchitectures(), options));
  // 4 steps of two evaluations; the other 2 of one.
  const auto forwards = [](const ModelReport& model) {
    return model.calls.at("transformer") + model.calls.at("transformer_2");
  };
  CHECK(forwards(report.original) == 8);
  CHECK(forwards(report.candidates[0].model) == 8);
  CHECK(report.candidates[0].paired.identical);
  CHECK(forwards(report.candidates[1].model) == 2);
  REQUIRE(report.warnings.size() == 1);
  CHECK(absl::StrContains(report.warnings[0], "few is sampled as its folder says: 2 steps"));

  options.request.steps = 3;
  options.request.guidance = 1;
  ASSERT_OK_AND_ASSIGN(const EvaluateReport given, Evaluate(*env, BuiltinArchitectures(), options));
  CHECK(forwards(given.original) == 3);
  CHECK(forwards(given.candidates[1].model) == 3);
}

}  // namespace
}  // namespace wanlite
