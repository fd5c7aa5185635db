// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// A pass that trains inside a recipe: a pruned toy learns from the model that the recipe began
// with.
#include <google/protobuf/wrappers.pb.h>

#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/toy_architecture.h"
#include "tests/train/program_toy.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/model_library.h"
#include "wanlite/pipeline.h"
#include "wanlite/process_group.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"

namespace wanlite {
namespace {

using google::protobuf::Int64Value;
using google::protobuf::Message;
using testing::FilesOf;
using testing::LineData;
using testing::ProgramToy;
using testing::UniformToyConfig;
using testing::UniformToys;

std::atomic<int>& StepsTaken() {
  static std::atomic<int>& steps = *new std::atomic<int>{0};
  return steps;
}

// What is not in the pass's options.
struct DistillScene {
  std::string teacher = "input";
  std::string data = "line";
  bool recompute = false, bf16 = false;
};
DistillScene& Scene() {
  static DistillScene& scene = *new DistillScene;
  return scene;
}

// Leaves the first half of the hidden channels.
class HalvePass : public BlockPass {
 public:
  absl::string_view name() const override { return "halve"; }
  const Message& options() const override { return options_; }
  absl::StatusOr<PassNotes> Plan(const ModelView&) const override { return PassNotes(); }
  absl::Status ApplyPlan(ModelView& hollow, const Message*) const override {
    return Halve(hollow, "");
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext&) const override {
    return Halve(model, block.block());
  }

 private:
  static absl::Status Halve(ModelView& model, const std::string& block) {
    for (const AxisGroup& group : std::vector<AxisGroup>(model.groups())) {
      if (!block.empty() && group.block != block) continue;
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(group.name, at::arange(6, at::kLong)));
    }
    return absl::OkStatus();
  }
  const google::protobuf::BoolValue options_;
};

// Trains the toy for N steps to give what the recipe's input gave.
class DistillPass : public ModelPass {
 public:
  explicit DistillPass(const Int64Value& steps) : steps_(steps) {}
  absl::string_view name() const override { return "distill"; }
  const Message& options() const override { return steps_; }
  absl::StatusOr<PassNotes> Plan(const ModelView&) const override { return PassNotes(); }
  absl::StatusOr<std::vector<std::string>> components(const ModelView&) const override {
    return std::vector<std::string>{"toy"};
  }
  absl::Status RunModel(ModelView& model, const Message*, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, name()));
    WANLITE_ASSIGN_OR_RETURN(ModelView teacher, context.models->Open(Scene().teacher, {"toy"}));
    WANLITE_RETURN_IF_ERROR(teacher.LoadAll());
    WANLITE_ASSIGN_OR_RETURN(const std::string taught_by,
                             context.models->Fingerprint(Scene().teacher));
    const LineData data(12, /*uneven=*/false, Scene().data);
    train::VelocityOptions velocity;
    velocity.batch = 6;
    velocity.seed = context.seed;
    velocity.recompute = Scene().recompute;
    velocity.mix.data = 0;
    velocity.mix.teacher = 1;
    velocity.mix.features = {{"x", 1, 1, 0.5}, {"x", 2, 2, 0.5}};
    WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters, train::MasterWeights::Of(model, "toy"));
    train::TensorSelector selector;
    selector.components = {"toy"};
    WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> tensors,
                             train::TrainableTensors(model, selector));
    WANLITE_ASSIGN_OR_RETURN(
        const auto objective,
        train::VelocityObjective::Create(*model.FindComponent("toy"), std::move(tensors),
                                         teacher.FindComponent("toy"), data, velocity));
    train::LoopOptions loop;
    loop.steps = steps_.value();
    loop.batch = 6;
    loop.accumulate = 6;
    loop.learning_rate = 0.01;
    loop.ema_decay = 0.9;
    loop.state_every = 2;
    loop.bf16 = Scene().bf16;
    train::TrainRun run;
    run.env = context.env;
    run.what = "toy";
    run.state_dir = JoinPath(scratch, "state");
    run.max_shard_bytes = 3000;
    run.identity = objective->identity();
    run.identity["teacher"] = taught_by;
    run.group = context.group;
    run.cancel = context.cancel;
    run.observe = [](const train::StepReport&) { ++StepsTaken(); };
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report, train::Train(loop, *objective, run));
    context.metrics["steps"] = static_cast<double>(report.steps);
    return masters.Restore();
  }

 private:
  const Int64Value steps_;
};

PassRegistry Passes() {
  PassRegistry passes;
  REQUIRE_OK(passes.Register("google.protobuf.BoolValue",
                             [](const Message&) -> absl::StatusOr<std::unique_ptr<Pass>> {
                               return std::make_unique<HalvePass>();
                             }));
  REQUIRE_OK(passes.Register("google.protobuf.Int64Value",
                             [](const Message& steps) -> absl::StatusOr<std::unique_ptr<Pass>> {
                               return std::make_unique<DistillPass>(
                                   static_cast<const Int64Value&>(steps));
                             }));
  return passes;
}

ParsedRecipe Recipe(int steps) {
  ASSERT_OK_AND_ASSIGN(
      ParsedRecipe recipe,
      ParsedRecipe::Parse(
          absl::StrCat("seed: 5 passes { custom { [type.googleapis.com/google.protobuf.BoolValue] "
                       "{} } } passes { custom { [type.googleapis.com/google.protobuf.Int64Value] "
                       "{ value: ",
                       steps, " } } }"),
          "r.textproto", Passes()));
  return recipe;
}

const ArchitectureRegistry& Architectures() {
  static const auto& registry = *new ArchitectureRegistry(UniformToys<ProgramToy>("ProgramToy"));
  return registry;
}

// With the checkpoint /in, stored in bf16: components toy and other.
std::unique_ptr<Env> Disk() {
  std::vector<Component> components;
  for (const char* name : {"toy", "other"}) {
    auto toy = std::make_shared<ProgramToy>();
    toy->Randomize(name[0]);
    components.push_back(
        {name, ComponentRole::kDenoiser, "ProgramToy", UniformToyConfig("ProgramToy", 12), toy});
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  REQUIRE_OK(view.Cast(at::kBFloat16));
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/in", view));
  return env;
}

// Without assertions: threads call it.
absl::StatusOr<ModelFolder> OpenToy(Env& env, const std::string& dir) {
  return ModelFolder::Open(env, dir, {}, Architectures());
}
ModelFolder Open(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelFolder folder, OpenToy(env, dir));
  return folder;
}

absl::Status Compress(Env& env, const ParsedRecipe& recipe, ProcessGroup* group = nullptr) {
  CompressOptions options;
  options.out_dir = "/out";
  options.group = group;
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, OpenToy(env, "/in"));
  return CompressFolder(env, recipe, folder, Architectures(), options).status();
}
absl::Status Compress(Env& env, int steps) { return Compress(env, Recipe(steps)); }

// |student - teacher|^2 on points that were not trained on.
double ErrorOf(Env& env, const std::string& dir) {
  const auto output = [&](const std::string& of) {
    ASSERT_OK_AND_ASSIGN(ModelView view, Open(env, of).BuildView());
    REQUIRE_OK(view.LoadAll());
    REQUIRE_OK(view.Cast(at::kFloat));
    at::NoGradGuard no_grad;
    return ProgramOf(*view.FindComponent("toy"))
        ->Run({{"input", at::randn({50, 4}, at::detail::createCPUGenerator(1))}});
  };
  return (output(dir) - output("/in")).square().mean().item<double>();
}

TEST_CASE("A pruned model learns from the one that the recipe began with, inside the recipe") {
  const std::unique_ptr<Env> short_disk = Disk(), long_disk = Disk();
  REQUIRE_OK(Compress(*short_disk, 1));
  REQUIRE_OK(Compress(*long_disk, 120));
  const double before = ErrorOf(*short_disk, "/out"), after = ErrorOf(*long_disk, "/out");
  INFO(before << " -> " << after);
  CHECK(after < 0.3 * before);
  // Trained in fp32, kept in the dtype that was there; nothing of the work is left.
  ASSERT_OK_AND_ASSIGN(const ModelView view, Open(*long_disk, "/out").BuildView());
  ASSERT_OK_AND_ASSIGN(const at::Tensor up, view.FindTensor("toy.blocks.0.up.weight"));
  CHECK(up.scalar_type() == at::kBFloat16);
  CHECK(up.sizes() == at::IntArrayRef({6, 8}));
  CHECK_FALSE(long_disk->FolderExists("/out.run"));
}

TEST_CASE("A recipe that trains, killed at any write, goes on to the same bytes") {
  constexpr int kSteps = 4;
  const std::unique_ptr<Env> whole = Disk();
  const auto counting = NewFaultEnv(*whole, -1);
  StepsTaken() = 0;
  REQUIRE_OK(Compress(*counting, kSteps));
  REQUIRE(StepsTaken() == kSteps);
  const std::map<std::string, std::string> expected = FilesOf(*whole, "/out");
  const int64_t writes = counting->writes();
  int fewest = kSteps;
  for (int64_t fail_at = 0; fail_at < writes; ++fail_at) {
    const std::unique_ptr<Env> disk = Disk();
    {
      const auto failing = NewFaultEnv(*disk, fail_at);
      // At the end nothing but cleaning up is left, which may fail without a word.
      if (Compress(*failing, kSteps).ok()) REQUIRE(fail_at > writes - 10);
    }
    StepsTaken() = 0;
    INFO("killed at write " << fail_at << " of " << writes);
    const absl::Status again = Compress(*disk, kSteps);
    if (absl::IsAlreadyExists(again)) {
      // Everything but the end of the cleaning up was done.
      REQUIRE(FilesOf(*disk, "/out") == expected);
      continue;
    }
    REQUIRE_OK(again);
    REQUIRE(FilesOf(*disk, "/out") == expected);
    REQUIRE_FALSE(disk->FolderExists("/out.run"));
    fewest = std::min(fewest, StepsTaken().load());
  }
  CHECK(fewest == 0);  // what was trained before a kill was not trained again
}

// What a process of rank > 0 does beside the one that runs the recipe.
absl::Status Assist(Env& env, const ParsedRecipe& recipe, ProcessGroup& group) {
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, OpenToy(env, "/in"));
  RunOptions options;
  options.group = &group;
  return AssistFolder(env, recipe, folder, Architectures(), options);
}

void SaveTeacher(Env& env, uint64_t seed) {
  auto toy = std::make_shared<ProgramToy>();
  toy->Randomize(seed);
  std::vector<Component> components{
      {"toy", ComponentRole::kDenoiser, "ProgramToy", UniformToyConfig("ProgramToy", 12), toy}};
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  if (env.FolderExists("/teacher")) REQUIRE_OK(env.RemoveAll("/teacher"));
  REQUIRE_OK(SaveCheckpoint(env, "/teacher", view));
}

TEST_CASE("A teacher or data that changed under an unfinished run are refused by name") {
  const bool of_teacher = GENERATE(true, false);
  const std::unique_ptr<Env> disk = Disk();
  Scene() = DistillScene();
  Scene().teacher = "/teacher";
  SaveTeacher(*disk, 1);
  bool has_state = false;
  for (int64_t fail_at = 10; !has_state; fail_at += 2) {
    const auto failing = NewFaultEnv(*disk, fail_at);
    REQUIRE_FALSE(Compress(*failing, 6).ok());
    if (!disk->FolderExists("/out.run")) continue;
    for (const auto& [name, bytes] : FilesOf(*disk, "/out.run")) {
      has_state = has_state || Basename(name) == "state.json";
    }
  }
  if (of_teacher) {
    SaveTeacher(*disk, 2);
  } else {
    Scene().data = "other";
  }
  const absl::Status status = Compress(*disk, 6);
  Scene() = DistillScene();
  INFO(status.ToString());
  CHECK(absl::IsFailedPrecondition(status));
  const std::string message(status.message());
  CHECK(message.find("belongs to another training of toy") != std::string::npos);
  CHECK(message.find(of_teacher ? "teacher: " : "data: line -> other") != std::string::npos);
}

TEST_CASE("Two and three processes train inside the recipe as one does") {
  Scene() = DistillScene();
  Scene().recompute = Scene().bf16 = GENERATE(false, true);
  constexpr int kSteps = 5;
  const std::unique_ptr<Env> alone = Disk();
  REQUIRE_OK(Compress(*alone, kSteps));
  const testing::TempFolder temp;
  const ParsedRecipe recipe = Recipe(kSteps);
  for (const int ranks : {2, 3}) {
    const std::unique_ptr<Env> disk = Disk();
    std::vector<absl::Status> results(ranks);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        auto group = JoinLocalGroup(temp / absl::StrCat("group", ranks), rank, ranks, 60);
        results[rank] = !group.ok() ? group.status()
                        : rank == 0 ? Compress(*disk, recipe, group->get())
                                    : Assist(*disk, recipe, **group);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const absl::Status& result : results) REQUIRE_OK(result);
    CHECK_FALSE(disk->FolderExists("/out.run"));
    // Sums of several pieces are rounded before they meet: the same up to that, in bf16.
    ASSERT_OK_AND_ASSIGN(ModelView one, Open(*alone, "/out").BuildView());
    ASSERT_OK_AND_ASSIGN(ModelView many, Open(*disk, "/out").BuildView());
    REQUIRE_OK(one.LoadAll());
    REQUIRE_OK(many.LoadAll());
    const std::vector<NamedTensor> a = one.Tensors(), b = many.Tensors();
    constexpr double kTolerance = 0.01;  // two steps of bf16
    for (size_t i = 0; i < a.size(); ++i) {
      INFO(a[i].name);
      CHECK(at::allclose(a[i].tensor.to(at::kFloat), b[i].tensor.to(at::kFloat), kTolerance,
                         kTolerance));
    }
  }
}

TEST_CASE("Rank 0 runs the recipe; when it fails, those who assist end too") {
  Scene() = DistillScene();
  const testing::TempFolder temp;
  const ParsedRecipe recipe = Recipe(4);
  const std::unique_ptr<Env> disk = Disk();
  const auto failing = NewFaultEnv(*disk, 40);
  std::vector<absl::Status> results(2);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      auto group = JoinLocalGroup(temp / "group", rank, 2, 60);
      results[rank] = !group.ok() ? group.status()
                      : rank == 0 ? Compress(*failing, recipe, group->get())
                                  : Assist(*disk, recipe, **group);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(results[0].ok());
  CHECK(absl::IsUnavailable(results[1]));
  const std::unique_ptr<ProcessGroup> alone = AloneGroup();
  CHECK(Assist(*disk, recipe, *alone).code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace wanlite
