// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/pipeline.h"

#include <limits>
#include <set>
#include <string>

#include "src/core/forwarding_env.h"
#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::AsIf;
using testing::Compress;
using testing::DiskWithModel;
using testing::KeepStrongest;
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
  CHECK(pruned.options_text() == "amount: 0.5\nscope: GLOBAL\nstore: ZEROS\n");
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
  CHECK(status_of("untouched").ok());
  CHECK(status_of("decide-edits") == absl::InternalError("misbehave: Decide() changed the model"));
  CHECK(status_of("inexact") ==
        absl::InternalError("misbehave: its decision changed the plan, which it called exact"));
}

TEST_CASE("a block that cannot be written is named, though the next one is worked on already") {
  // The k-th write fails, for every k: whichever block is being written is the one that is named.
  std::set<std::string> named;
  for (int64_t k = 0;; ++k) {
    const std::unique_ptr<Env> disk = DiskWithModel();
    const absl::Status status =
        Compress(*NewFaultEnv(*disk, k), ToyRecipe("passes { quantize_int8 {} }")).status();
    if (status.ok()) break;
    REQUIRE(status.code() == StatusCode::kResourceExhausted);
    const std::string message(status.message());
    const size_t at = message.find("quantize-int8: toy");
    if (at != 0) continue;
    const std::string block = message.substr(15, message.find(": ", 15) - 15);
    named.insert(block);
    CHECK(message.find(": toy", 15) == std::string::npos);  // and no other
  }
  for (const char* block : {"toy.blocks.0", "toy.blocks.1", "toy_2.blocks.0", "toy_2.blocks.1"}) {
    CHECK(named.contains(block));
  }
}

TEST_CASE("a plan knows the memory of a run: a block, what is left of the one before, scratch") {
  const std::unique_ptr<Env> env = DiskWithModel();
  ASSERT_OK_AND_ASSIGN(const ModelView view, OpenFolder(*env, "/in").BuildView());
  const auto bytes = [&](const std::string& block) {
    int64_t sum = 0;
    for (const NamedTensor& named : view.BlockTensors(block)) {
      sum += named.tensor.numel() * static_cast<int64_t>(named.tensor.element_size());
    }
    return sum;
  };
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans,
                       PlanRecipe(ToyRecipe("passes { prune_magnitude { amount: 0.5 } } "
                                            "passes { quantize_int8 {} }"),
                                  OpenFolder(*env, "/in")));
  // Blocks of one size. Pruning makes each layer anew, of 12 x 8 values, and masks of a byte each.
  CHECK(plans[0].peak_memory_bytes == 2 * bytes("toy.blocks.0") + 96 * (4 + 2));
  // INT8 keeps a byte of each of 3 x 96 values, and a scale of 12 + 12 + 8 rows.
  const int64_t left = bytes("toy.blocks.0") - 3 * 96 * 3 + 32 * 4;
  const int64_t scratch = plans[1].peak_memory_bytes - left - bytes("toy.blocks.0");
  CHECK(scratch >= 96 + 12 * 4);
  CHECK(scratch < (int64_t{64} << 20));
}

TEST_CASE("a plan before the decision is an estimate, and the run leaves what was decided") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe = ToyRecipe(KeepStrongest(0.8) + "passes { quantize_int8 {} }");
  PlanOptions options;
  options.count_operations = [](const ModelView& model) {
    double weights = 0;
    for (const LinearInfo& linear : model.linears()) {
      const LinearWeight& weight = **model.Weight(linear.path);
      weights += static_cast<double>(weight.in_features() * weight.out_features());
    }
    return std::map<std::string, double>{{"weights", weights}};
  };
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans,
                       PlanRecipe(recipe, OpenFolder(*env, "/in"), options));
  REQUIRE(plans.size() == 2);
  CHECK(plans[0].label == "1/2 keep-strongest");
  CHECK(plans[0].estimated);
  CHECK(plans[0].changes.empty());
  REQUIRE(plans[0].notes.size() == 1);
  CHECK(plans[1].estimated);
  CHECK(plans[1].notes.back() == "planned on the estimate of a pass before it");
  // What is left is counted by whoever plans.
  CHECK(plans[0].operations_before.at("weights") == plans[1].operations_after.at("weights"));
  CHECK(plans[0].operations_before.at("weights") == 2 * (4 * 8 + 2 * 3 * 96 + 8 * 3));

  ASSERT_OK_AND_ASSIGN(const RunReport report, Compress(*env, recipe));
  const double kept = report.passes[0].metrics.at("kept");
  CHECK(kept > 1);
  CHECK(kept < 12);
  CHECK(report.passes[0].label == "1/2 keep-strongest");
  CHECK(report.passes[0].bytes_after < report.passes[0].bytes_before);
  ModelView after = LoadedView(*env, "/out");
  CHECK(after.groups()[0].units == static_cast<int64_t>(kept));
  CHECK(OpenFolder(*env, "/out").bytes() == report.passes[1].bytes_after);
}

TEST_CASE("a plan warns of steps distilled from what pruning has left, and of nothing else") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const auto warned = [&](const std::string& text) {
    std::vector<std::string> labels;
    ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans,
                         PlanRecipe(ToyRecipe(text), OpenFolder(*env, "/in")));
    for (const PassPlan& plan : plans) {
      if (plan.warnings.empty()) continue;
      REQUIRE(plan.warnings.size() == 1);
      labels.push_back(plan.label + " after " +
                       plan.warnings[0].substr(22, plan.warnings[0].find(" has left") - 22));
      CHECK(plan.warnings[0].find("known to collapse") != std::string::npos);
    }
    return labels;
  };
  const std::string prune = "passes { prune_magnitude { amount: 0.5 } } ";
  const std::string recover = AsIf(PassEffect::kRecovers);
  const std::string distil = AsIf(PassEffect::kDistilsSteps);
  const std::string neutral = AsIf(PassEffect::kNeutral);
  using Labels = std::vector<std::string>;
  CHECK(warned(distil + prune) == Labels{});
  CHECK(warned(prune + recover + distil) == Labels{});
  CHECK(warned(prune + neutral + distil) == Labels{"3/3 as-if after 1/3 prune-magnitude"});
  CHECK(warned(prune + recover + prune + distil) == Labels{"4/4 as-if after 3/4 prune-magnitude"});
  // The rounds of a repeat come one after the other.
  CHECK(warned("passes { repeat { rounds: 2 " + prune + recover + "} } " + distil) == Labels{});
  CHECK(warned("passes { repeat { rounds: 2 " + recover + prune + "} } " + distil) ==
        Labels{"5/5 as-if after 2/2 prune-magnitude"});
  CHECK(warned("passes { repeat { rounds: 2 " + distil + prune + "} } ") ==
        Labels{"2/2 as-if after 1/2 prune-magnitude"});
}

TEST_CASE("the changes of a plan are what differs, in the pass's own words where nothing does") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe = ToyRecipe(
      "passes { prune_magnitude { amount: 0.25 linears { include: \"toy.blocks.0.up\" } } }" +
      KeepUnits(6) +
      "passes { quantize_int8 { linears { include: \"toy.blocks.0.up\" } rotation: CONVROT } }");
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans,
                       PlanRecipe(recipe, OpenFolder(*env, "/in")));
  REQUIRE(plans.size() == 3);
  REQUIRE(plans[0].changes.size() == 1);
  CHECK(plans[0].changes[0].path == "toy.blocks.0.up");
  CHECK(plans[0].changes[0].description == "24 of 96 weights to zero (25 %)");
  CHECK(plans[0].changes[0].bytes_before == 96 * 4);
  CHECK(plans[0].changes[0].bytes_after == 96 * 4);
  // up, gate, down, the bias of up and the norm, in two blocks of two components.
  REQUIRE(plans[1].changes.size() == 2 * 2 * 5);
  CHECK(plans[1].changes[0].description == "[12, 8] -> [6, 8]");
  CHECK(plans[1].changes[0].parameters_before == 96);
  CHECK(plans[1].changes[0].parameters_after == 48);
  CHECK(plans[1].parameters_before - plans[1].parameters_after == 2 * 2 * 6 * (3 * 8 + 2));
  CHECK(plans[1].bytes_before - plans[1].bytes_after == 2 * 2 * 6 * (3 * 8 + 2) * 4);
  REQUIRE(plans[2].changes.size() == 1);
  CHECK(plans[2].changes[0].description ==
        "dense fp32 -> int8 (rotation convrot, rotation_group 4)");
  CHECK(plans[2].changes[0].bytes_after == 48 + 6 * 4);
  CHECK(plans[2].parameters_after == plans[2].parameters_before);
}

TEST_CASE("blocks that no pass touches are adopted: the same file, neither read nor written") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe = ToyRecipe(
      "passes { quantize_int8 { linears { include: \"toy.blocks.1.*\" } } }" + testing::Steps(2));
  REQUIRE_OK(Compress(*env, recipe));
  int adopted = 0;
  for (const auto& [name, bytes] : Tree(*env, "/out")) {
    if (name.find(".safetensors") == std::string::npos || name.find("index") != std::string::npos) {
      continue;
    }
    INFO(name);
    const bool same = env->Stamp("/in/" + name)->inode == env->Stamp("/out/" + name)->inode;
    // quantize-int8 writes a block, steps all of its component.
    CHECK(same == (name.find("toy_2/") == 0));
    adopted += same;
  }
  CHECK(adopted == 3);
  OpenOptions verify;
  verify.verify = true;
  REQUIRE_OK(ModelFolder::Open(*env, "/out", verify, testing::ToyArchitectures()));
}

TEST_CASE("a pass finds the run's input and the model before itself") {
  const std::unique_ptr<Env> env = DiskWithModel();
  REQUIRE_OK(Compress(*env, ToyRecipe(ScaleModel(2) + testing::Remember())));
  ASSERT_OK_AND_ASSIGN(const at::Tensor before,
                       LoadedView(*env, "/in").FindTensor("toy.head.bias"));
  CHECK(LoadedView(*env, "/out").FindTensor("toy.head.bias")->equal(before * 3));
  // In memory there are none but those that are given.
  ModelView model = LoadedView(*env, "/in");
  CHECK(CompressInMemory(ToyRecipe(testing::Remember()), model).status() ==
        absl::FailedPreconditionError("remember: no models"));
}

// A disk without hard links.
class NoLinks : public ForwardingEnv<Env> {
 public:
  explicit NoLinks(Env& base) : ForwardingEnv(base) {}
  absl::Status Link(absl::string_view from, absl::string_view to) override {
    return absl::UnimplementedError("no links here");
  }
};

TEST_CASE("where there are no links, what is adopted is copied, to the same bytes") {
  const std::unique_ptr<Env> linked = DiskWithModel(), copied = DiskWithModel();
  const ParsedRecipe recipe =
      ToyRecipe("passes { quantize_int8 { linears { include: \"toy.blocks.1.*\" } } }");
  REQUIRE_OK(Compress(*linked, recipe));
  NoLinks disk(*copied);
  REQUIRE_OK(Compress(disk, recipe));
  CHECK(Tree(*copied, "/out") == Tree(*linked, "/out"));
  CHECK(copied->Stamp("/in/toy/rest.safetensors")->inode !=
        copied->Stamp("/out/toy/rest.safetensors")->inode);
}

TEST_CASE("a recipe that does not fit the model is refused before anything is written") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const absl::Status status =
      Compress(*env, ToyRecipe(ScaleModel(2) +
                               "passes { quantize_int8 { linears { include: \"nothing.*\" } } }"))
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
