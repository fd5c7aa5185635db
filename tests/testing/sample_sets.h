// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_TESTS_TESTING_SAMPLE_SETS_H_
#define WANLITE_TESTS_TESTING_SAMPLE_SETS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/catch.h"
#include "wanlite/sample_set.h"

namespace wanlite::testing {

// A new sample set with these inputs of one component. describe(i, sample): what else there is to
// say of the i-th.
inline SampleSet WriteSampleSet(
    Env& env, const std::string& dir, const std::string& component,
    const std::vector<Values>& inputs,
    const std::function<void(size_t i, SampleInfo& sample)>& describe = nullptr) {
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(env, dir, {}));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (size_t i = 0; i < inputs.size(); ++i) {
    SampleInfo sample;
    sample.component = component;
    for (const auto& [name, value] : inputs[i]) {
      sample.values[name] = absl::StrCat(i, ".", name);
      tensors.push_back({sample.values[name], value});
    }
    if (describe != nullptr) describe(i, sample);
    samples.push_back(sample);
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(env, dir));
  return set;
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_SAMPLE_SETS_H_
