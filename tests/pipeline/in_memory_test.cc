// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "src/core/libtorch.h"
#include "src/model/hollow_twin.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using testing::DiskWithModel;
using testing::Int8Smallest;
using testing::KeepStrongest;
using testing::KeepUnits;
using testing::Misbehave;
using testing::OpenFolder;
using testing::ScaleModel;
using testing::ToyRecipe;

TEST_CASE("in memory and block by block give the same model and the same numbers") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe =
      GENERATE(ToyRecipe("passes { prune_magnitude { amount: 0.3 scope: GLOBAL } }" + KeepUnits(8) +
                         ScaleModel(0.5) + "passes { quantize_int8 {} }"),
               ToyRecipe(KeepStrongest(0.8) + Int8Smallest() + ScaleModel(1)));
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
  CHECK(status_of("throw") == absl::InternalError("misbehave: toy.blocks.1: thrown"));
  CHECK(status_of("nan").code() == absl::StatusCode::kInvalidArgument);
  CHECK(status_of("unplanned") ==
        absl::InternalError(
            "misbehave: toy.blocks.1: the pass left toy.blocks.1.up.weight as fp16 [12, 8], "
            "its plan says fp32 [12, 8]"));
  CHECK(status_of("decide-edits") == absl::InternalError("misbehave: Decide() changed the model"));
}

TEST_CASE("a model that is not in memory is refused, a cancelled run stops") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe = ToyRecipe("passes { quantize_int8 {} }");
  ModelView model = *OpenFolder(*env, "/in").BuildView();
  CHECK(CompressInMemory(recipe, model).status().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE_OK(model.LoadAll());
  CancellationToken cancel;
  cancel.Cancel();
  InMemoryOptions options;
  options.cancel = &cancel;
  CHECK(CompressInMemory(recipe, model, options).status().code() == absl::StatusCode::kCancelled);
}

TEST_CASE("in memory a pass that keeps files gets a folder, or says that it wants one") {
  const std::unique_ptr<Env> env = DiskWithModel();
  ModelView model = *OpenFolder(*env, "/in").BuildView();
  REQUIRE_OK(model.LoadAll());
  const absl::Status none = CompressInMemory(ToyRecipe(testing::Steps(2)), model).status();
  CHECK(none.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(none.message()).find("steps: ") == 0);

  const testing::TempFolder temp;
  InMemoryOptions options;
  options.scratch_dir = temp / "work";
  REQUIRE_OK(CompressInMemory(ToyRecipe(testing::Steps(2)), model, options));
  CHECK(PosixEnv().ListFolder(temp / "work")->empty());
}

TEST_CASE("the hollow twin of a model in memory has its structure and none of its values") {
  const std::unique_ptr<Env> env = DiskWithModel();
  ModelView model = *OpenFolder(*env, "/in").BuildView();
  REQUIRE_OK(model.LoadAll());
  REQUIRE_OK(CompressInMemory(ToyRecipe(KeepStrongest(0.8) + Int8Smallest()), model));
  ASSERT_OK_AND_ASSIGN(ModelView twin, HollowTwin(model));
  CHECK(twin.Fingerprint() == model.Fingerprint());
  for (const NamedTensor& named : twin.Tensors()) {
    INFO(named.name);
    CHECK(nn::IsHollow(named.tensor));
    CHECK(twin.KeepsFloat32(named.name) == model.KeepsFloat32(named.name));
    CHECK(twin.BlockOf(named.name) == model.BlockOf(named.name));
  }
  REQUIRE(twin.blocks().size() == model.blocks().size());
  REQUIRE(twin.linears().size() == model.linears().size());
  for (size_t i = 0; i < twin.linears().size(); ++i) {
    CHECK(twin.linears()[i].path == model.linears()[i].path);
    CHECK(twin.linears()[i].kind == model.linears()[i].kind);
    CHECK(twin.linears()[i].sensitive == model.linears()[i].sensitive);
  }
  REQUIRE(twin.groups().size() == model.groups().size());
  for (const AxisGroup& group : std::vector<AxisGroup>(model.groups())) {
    const at::Tensor keep = at::arange(2, at::kLong);
    REQUIRE_OK(twin.KeepUnits(group.name, keep));
    REQUIRE_OK(model.KeepUnits(group.name, keep));
  }
  CHECK(twin.Fingerprint() == model.Fingerprint());
}

}  // namespace
}  // namespace wanlite
