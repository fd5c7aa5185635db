// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/network_trials.h"

#include <memory>
#include <set>
#include <vector>

#include "tests/testing/catch.h"
#include "tests/testing/sample_sets.h"

namespace wanlite {
namespace {

TEST_CASE("passes that score are those of one trajectory, spread over its steps") {
  const auto env = NewMemEnv();
  SampleSetInfo info;
  info.prompts = {"a digit", "another"};
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", info));
  REQUIRE_OK(writer->WriteFile("all", {{"x", at::zeros({1})}}));
  std::vector<SampleInfo> samples;
  const auto add = [&](int64_t prompt, const char* branch, int64_t step) {
    SampleInfo sample;
    sample.component = "t";
    sample.prompt = prompt;
    sample.branch = branch;
    sample.step = step;
    sample.values["input"] = "x";
    samples.push_back(sample);
  };
  add(0, "conditional", 0);                                                  // 0
  for (int64_t step = 0; step < 6; ++step) add(1, "conditional", 5 - step);  // 1 ... 6
  for (int64_t step = 0; step < 3; ++step) add(1, "negative", step);         // 7 ... 9
  REQUIRE_OK(writer->Finish(samples));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  CHECK(PickPasses(set, "t", 1) == std::vector<int64_t>{3});        // step 3
  CHECK(PickPasses(set, "t", 3) == std::vector<int64_t>{1, 3, 5});  // steps 5, 3, 1
  CHECK(PickPasses(set, "t", 6) == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  CHECK(PickPasses(set, "t", 7) == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 8});
  CHECK(PickPasses(set, "t", 100).size() == 10);
}

TEST_CASE("passes of many prompts that have one or two each are spread over the steps") {
  const auto env = NewMemEnv();
  SampleSetInfo info;
  info.prompts.assign(30, "a digit");
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", info));
  REQUIRE_OK(writer->WriteFile("all", {{"x", at::zeros({1})}}));
  std::vector<SampleInfo> samples;
  for (int64_t i = 0; i < 40; ++i) {
    SampleInfo sample;
    sample.component = "t";
    sample.prompt = i % 30;
    sample.step = i * 7 % 20;  // no prompt's passes are in order
    sample.values["input"] = "x";
    samples.push_back(sample);
  }
  REQUIRE_OK(writer->Finish(samples));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  for (const int64_t count : {5, 10, 20}) {
    std::set<int64_t> steps;
    for (const int64_t pass : PickPasses(set, "t", count))
      steps.insert(samples[static_cast<size_t>(pass)].step * count / 20);
    CHECK(steps.size() == static_cast<size_t>(count));  // one of each part of the steps
  }
  CHECK(PickPasses(set, "t", 100).size() == 40);
}

}  // namespace
}  // namespace wanlite
