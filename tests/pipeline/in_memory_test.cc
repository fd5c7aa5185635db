// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "src/core/libtorch.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

using testing::DiskWithModel;
using testing::KeepUnits;
using testing::Misbehave;
using testing::OpenFolder;
using testing::ScaleModel;
using testing::ToyRecipe;

TEST_CASE("in memory and block by block give the same model and the same numbers") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe =
      ToyRecipe("passes { prune_magnitude { amount: 0.3 scope: GLOBAL } }" + KeepUnits(8) +
                ScaleModel(0.5) + "passes { quantize_int8 {} }");
  ASSERT_OK_AND_ASSIGN(const RunReport streamed, testing::Compress(*env, recipe));
  ASSERT_OK_AND_ASSIGN(ModelView model, OpenFolder(*env, "/in").BuildView());
  REQUIRE_OK(model.LoadAll());
  ASSERT_OK_AND_ASSIGN(const RunReport in_memory, CompressInMemory(recipe, model));

  ASSERT_OK_AND_ASSIGN(ModelView written, OpenFolder(*env, "/out").BuildView());
  REQUIRE_OK(written.LoadAll());
  const std::vector<NamedTensor> expected = written.Tensors();
  const std::vector<NamedTensor> found = model.Tensors();
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    INFO(expected[i].name);
    CHECK(found[i].name == expected[i].name);
    CHECK(found[i].tensor.equal(expected[i].tensor));
  }
  REQUIRE(in_memory.passes.size() == streamed.passes.size());
  for (size_t i = 0; i < in_memory.passes.size(); ++i) {
    INFO(in_memory.passes[i].pass);
    CHECK(in_memory.passes[i].pass == streamed.passes[i].pass);
    CHECK(in_memory.passes[i].metrics == streamed.passes[i].metrics);
    CHECK(in_memory.passes[i].bytes_before == streamed.passes[i].bytes_before);
    CHECK(in_memory.passes[i].bytes_after == streamed.passes[i].bytes_after);
  }
}

TEST_CASE("in memory, errors and exceptions of a pass become statuses with its name") {
  const auto status_of = [](const std::string& rule) {
    const std::unique_ptr<Env> env = DiskWithModel();
    ModelView model = *OpenFolder(*env, "/in").BuildView();
    REQUIRE_OK(model.LoadAll());
    return CompressInMemory(ToyRecipe(Misbehave(rule)), model).status();
  };
  CHECK(status_of("").ok());
  CHECK(status_of("error") == absl::DataLossError("misbehave: toy.blocks.1: went wrong"));
  CHECK(status_of("throw") == absl::InternalError("misbehave: thrown"));
  CHECK(status_of("nan").code() == absl::StatusCode::kInvalidArgument);
  // The size tells that the effect was not the planned one.
  CHECK(status_of("unplanned").code() == absl::StatusCode::kInternal);
}

TEST_CASE("a model that is not in memory is refused, a cancelled run stops") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe = ToyRecipe("passes { quantize_int8 {} }");
  ModelView model = *OpenFolder(*env, "/in").BuildView();
  CHECK(CompressInMemory(recipe, model).status().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE_OK(model.LoadAll());
  CancellationToken cancel;
  cancel.Cancel();
  CHECK(CompressInMemory(recipe, model, nullptr, &cancel).status().code() ==
        absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace wanlite
