// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/pipeline.h"

#include <limits>
#include <string>

#include "src/core/libtorch.h"
#include "src/model/select_linears.h"
#include "src/proto/manifest.pb.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::Compress;
using testing::DiskWithModel;
using testing::KeepUnits;
using testing::Misbehave;
using testing::OpenFolder;
using testing::ScaleModel;
using testing::ToyRecipe;
using testing::Tree;

ModelView LoadedView(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelView view, OpenFolder(env, dir).BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

TEST_CASE("a plan is made on what the passes before leave, and tells the size of the result") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe = ToyRecipe(
      KeepUnits(6) + "passes { prune_magnitude { amount: 0.5 } } passes { quantize_int8 {} }");
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans,
                       PlanRecipe(recipe, OpenFolder(*env, "/in")));
  REQUIRE(plans.size() == 3);
  CHECK(plans[0].bytes_before == OpenFolder(*env, "/in").bytes());
  CHECK(plans[0].bytes_after == plans[1].bytes_before);
  CHECK(plans[1].bytes_after == plans[2].bytes_before);
  CHECK(plans[2].bytes_after < plans[2].bytes_before);
  ASSERT_OK_AND_ASSIGN(const RunReport report, Compress(*env, recipe));
  CHECK(OpenFolder(*env, "/out").bytes() == plans[2].bytes_after);
  REQUIRE(report.passes.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(report.passes[i].bytes_before == plans[i].bytes_before);
    CHECK(report.passes[i].bytes_after == plans[i].bytes_after);
    CHECK_FALSE(report.passes[i].resumed);
  }
}

TEST_CASE("a run leaves the compressed model and nothing else") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const std::map<std::string, std::string> input = Tree(*env, "/in");
  const ParsedRecipe recipe =
      ToyRecipe("name: \"r\" seed: 5 passes { prune_magnitude { amount: 0.5 scope: GLOBAL } }" +
                KeepUnits(6));
  ASSERT_OK_AND_ASSIGN(const RunReport report, Compress(*env, recipe));
  CHECK(*env->ListFolder("/") == std::vector<std::string>{"in", "out"});
  CHECK(Tree(*env, "/in") == input);

  // The lineage tells passes, options and numbers; the numbers are those of all blocks.
  const ModelFolder out = OpenFolder(*env, "/out");
  REQUIRE(out.manifest() != nullptr);
  REQUIRE(out.manifest()->lineage_size() == 2);
  const LineageEntry& pruned = out.manifest()->lineage(0);
  CHECK(pruned.pass() == "prune-magnitude");
  CHECK(pruned.options_type() == "wanlite.PruneMagnitudeOptions");
  CHECK(pruned.options_text() == "amount: 0.5\nscope: GLOBAL\n");
  CHECK(pruned.seed() == 5);
  CHECK(pruned.recipe() == "r");
  CHECK(pruned.input_fingerprint() == OpenFolder(*env, "/in").fingerprint());
  // Two components of two blocks of 8x12 up, gate, down.
  CHECK(pruned.metrics().at("weights") == 2 * 2 * 3 * 96);
  CHECK(pruned.metrics().at("zero_fraction") == 0.5);
  CHECK(report.passes[0].metrics.at("zero_fraction") == 0.5);
  CHECK(out.manifest()->lineage(1).pass() == "keep-units");
  CHECK(out.manifest()->lineage(1).metrics().at("blocks") == 6);

  // The values are those of the passes: half of the weights zero, of what is left the first six
  // units.
  ModelView before = LoadedView(*env, "/in");
  ModelView after = LoadedView(*env, "/out");
  ASSERT_OK_AND_ASSIGN(const at::Tensor down, after.FindTensor("toy.blocks.1.down.weight"));
  ASSERT_OK_AND_ASSIGN(const at::Tensor old, before.FindTensor("toy.blocks.1.down.weight"));
  const at::Tensor kept = old.narrow(1, 0, 6);
  CHECK(down.sizes() == kept.sizes());
  CHECK(down.ne(0).logical_and(down.ne(kept)).sum().item<int64_t>() == 0);
  CHECK(down.eq(0).sum().item<int64_t>() > 0);
  ASSERT_OK_AND_ASSIGN(const at::Tensor embed, after.FindTensor("toy.embed.weight"));
  CHECK(embed.equal(*before.FindTensor("toy.embed.weight")));
}

TEST_CASE("a model-scope pass sees the whole model and its numbers reach the lineage") {
  const std::unique_ptr<Env> env = DiskWithModel();
  ASSERT_OK_AND_ASSIGN(const RunReport report, Compress(*env, ToyRecipe(ScaleModel(2))));
  CHECK(report.passes[0].metrics.at("tensors") == 2 * (2 + 2 * 6 + 2));
  ModelView before = LoadedView(*env, "/in");
  ModelView after = LoadedView(*env, "/out");
  for (const NamedTensor& named : before.Tensors()) {
    INFO(named.name);
    CHECK(after.FindTensor(named.name)->equal(named.tensor * 2));
  }
}

TEST_CASE("a model that is not finite is refused by name before anything is written of it") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const auto model = testing::MakeToyModel();
  {
    at::NoGradGuard no_grad;
    model->blocks[1]->gate->weight().State()[0].tensor[3][2] =
        -std::numeric_limits<float>::infinity();
  }
  std::vector<Component> components;
  components.push_back(testing::ToyComponent(model));
  components[0].config_json = R"({"_class_name": "ToyModel", "hidden": 12})";
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  REQUIRE_OK(SaveCheckpoint(*env, "/in", view));
  const absl::Status status = Compress(*env, ToyRecipe("passes { quantize_int8 {} }")).status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message() ==
        "quantize-int8: toy.blocks.1: input: toy.blocks.1.gate.weight (fp32 [12, 8]) holds -inf at "
        "flat index "
        "26; every value must be finite");
  CHECK_FALSE(env->FolderExists("/out"));
}

TEST_CASE("a pass that breaks a rule ends the run with its name and the block") {
  const auto status_of = [](const std::string& rule) {
    const std::unique_ptr<Env> env = DiskWithModel();
    const absl::Status status = Compress(*env, ToyRecipe(Misbehave(rule))).status();
    CHECK(env->FolderExists("/out") == status.ok());
    return status;
  };
  CHECK(status_of("").ok());
  CHECK(status_of("nan") ==
        absl::InvalidArgumentError(
            "misbehave: toy.blocks.1: toy.blocks.1.up.weight (fp32 [12, 8]) holds nan "
            "at flat index 10; every value must be finite"));
  CHECK(status_of("error") == absl::DataLossError("misbehave: toy.blocks.1: went wrong"));
  CHECK(status_of("throw") == absl::InternalError("misbehave: toy.blocks.1: thrown"));
  CHECK(status_of("unplanned") ==
        absl::InternalError(
            "misbehave: toy.blocks.1: the pass left toy.blocks.1.up.weight as fp16 [12, 8], "
            "its plan says fp32 [12, 8]"));
  CHECK(status_of("metric") == absl::InternalError("misbehave: toy.blocks.1: metric x is inf"));
  const absl::Status bytes = status_of("bytes");
  CHECK(bytes.code() == StatusCode::kInternal);
  CHECK(std::string(bytes.message()).find("misbehave: the plan says ") == 0);
}

TEST_CASE("a recipe that does not fit the model is refused before anything is written") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const absl::Status status =
      Compress(*env,
               ToyRecipe(ScaleModel(2) + "passes { quantize_int8 { include: \"nothing.*\" } }"))
          .status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(*env->ListFolder("/") == std::vector<std::string>{"in"});
}

TEST_CASE("an output that is there is never touched") {
  const std::unique_ptr<Env> env = DiskWithModel();
  REQUIRE_OK(env->CreateFolders("/out"));
  REQUIRE_OK(env->WriteFileAtomically("/out/mine", "1"));
  const ParsedRecipe recipe = ToyRecipe("passes { quantize_int8 {} }");
  for (const bool restart : {false, true}) {
    CompressOptions options;
    options.restart = restart;
    const absl::Status status = Compress(*env, recipe, options).status();
    CHECK(status == absl::AlreadyExistsError("/out: exists already"));
  }
  CHECK(Tree(*env, "/out") == std::map<std::string, std::string>{{"mine", "1"}});
  CHECK(*env->ListFolder("/") == std::vector<std::string>{"in", "out"});
  for (const char* run_dir : {"/out/", "/out/run"}) {
    CompressOptions inside;
    inside.run_dir = run_dir;
    CHECK(Compress(*env, recipe, inside).status().code() == StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace wanlite
