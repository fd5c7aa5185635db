// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Samples that no pass can learn from are refused with the layer, or the component, that needs
// them; nothing is left that opens.

#include <limits>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/sample_sets.h"
#include "wanlite/pipeline.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::Compress;
using testing::DiskWithModel;
using testing::ToyRecipe;
using testing::WriteSampleSet;

at::Tensor Input(double value) {
  const at::Tensor x = at::randn({5, 4}, at::detail::createCPUGenerator(3));
  if (value != 1) x[2][1] = value;
  return x;
}

TEST_CASE("samples that are no use are refused by layer or component") {
  struct Case {
    const char* what;
    const char* component;
    std::vector<Values> inputs;
    const char* message;
  };
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const Case cases[] = {
      {"a NaN",
       "toy",
       {{{"input", Input(1)}}, {{"input", Input(kNan)}}},
       "toy.blocks.0.up: a NaN or an infinity is among its inputs"},
      {"an infinity",
       "toy",
       {{{"input", Input(kInfinity)}}},
       "toy.blocks.0.up: a NaN or an infinity is among its inputs"},
      {"another component",
       "toy_2",
       {{{"input", Input(1)}}},
       "changes toy.blocks.0, and the sample set has none of 'toy'"},
      {"nothing", "toy", {}, "has samples of nothing"},
  };
  for (const char* format : {"int8 {}", "int4 { group: 4 }"}) {
    const std::string recipe =
        absl::StrCat("passes { gptq { format { ", format, " } linears { components: \"toy\" } } }");
    for (const Case& bad : cases) {
      CAPTURE(format, bad.what);
      const std::unique_ptr<Env> env = DiskWithModel();
      const SampleSet samples = WriteSampleSet(*env, "/samples", bad.component, bad.inputs);
      CompressOptions options;
      options.samples = &samples;
      const absl::Status status = Compress(*env, ToyRecipe(recipe), options).status();
      CHECK((absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status)));
      CHECK_THAT(std::string(status.message()), Contains("gptq: "));
      CHECK_THAT(std::string(status.message()), Contains(bad.message));
      CHECK_FALSE(env->FolderExists("/out"));
    }
    const std::unique_ptr<Env> env = DiskWithModel();
    CHECK_THAT(std::string(Compress(*env, ToyRecipe(recipe)).status().message()),
               Contains("gptq: needs recorded inputs of the model"));
  }
}

}  // namespace
}  // namespace wanlite
