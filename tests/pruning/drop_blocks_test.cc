// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The pass drop-blocks: what is scored, what goes, what is left.
#include "src/pruning/drop_blocks.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/pruning/block_scores.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/toy_architecture.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::EditableToy;
using testing::FilesOf;
using testing::ToyModel;

const std::vector<int64_t> kEqualBlocks(5, 12);

std::shared_ptr<ToyModel> DeepToy(uint64_t seed,
                                  const std::vector<int64_t>& hidden = kEqualBlocks) {
  auto model = std::make_shared<ToyModel>(8, hidden);
  model->Randomize(seed);
  const at::NoGradGuard no_grad;
  // From weak to strong: 3, 0, 4, 1, 2.
  const double scale[] = {0.2, 0.6, 0.9, 0.05, 0.4};
  for (size_t i = 0; i < hidden.size(); ++i) {
    model->blocks[i]->down->weight().dense()->mul_(scale[i % 5]);
    model->blocks[i]->down->bias()->mul_(scale[i % 5]);
  }
  return model;
}

const ArchitectureRegistry& DropToys() {
  static const ArchitectureRegistry& registry = *[] {
    auto* list = new ArchitectureRegistry;
    REQUIRE_OK(list->Register(testing::ToyArchitecture()));
    list->weight_formats() = BuiltinWeightFormats();
    return list;
  }();
  return registry;
}

// "toy" and "toy_2", five blocks each.
ModelView TwoDeepToys(const std::vector<int64_t>& hidden = kEqualBlocks) {
  auto view = ModelView::Create(
      {EditableToy(DeepToy(5, hidden)), EditableToy(DeepToy(6, hidden), "toy_2")});
  REQUIRE_OK(view);
  return *std::move(view);
}

at::Tensor DeepPoints(int64_t n, uint64_t seed) {
  return at::randn({n, 4}, at::detail::createCPUGenerator(seed));
}

// /in and /samples: six of each component, weighted 1, 2, …, at timesteps 900, 800, …
std::unique_ptr<Env> DeepDisk(const std::vector<int64_t>& hidden = kEqualBlocks) {
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/in", TwoDeepToys(hidden)));
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", {}));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (int i = 0; i < 6; ++i) {
    tensors.push_back({absl::StrCat("x", i), DeepPoints(7, 100 + static_cast<uint64_t>(i))});
    for (const char* component : {"toy", "toy_2"}) {
      SampleInfo sample;
      sample.component = component;
      sample.weight = 1 + i;
      sample.step = i;
      sample.timestep = 900 - 100 * i;
      sample.values["input"] = absl::StrCat("x", i);
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  return env;
}

absl::StatusOr<ParsedRecipe> DeepRecipe(const std::string& passes) {
  return ParsedRecipe::Parse(absl::StrCat("seed: 3 ", passes), "r.textproto", BuiltinPasses());
}
std::string DropText(const std::string& options) {
  return absl::StrCat("passes { drop_blocks { ", options, " } }\n");
}

absl::StatusOr<RunReport> DropOnDisk(Env& env, const std::string& passes,
                                     const std::string& out = "/out", bool samples = true) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe, DeepRecipe(passes));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, ModelFolder::Open(env, "/in", {}, DropToys()));
  CompressOptions options;
  options.out_dir = out;
  std::optional<SampleSet> set;
  if (samples) {
    WANLITE_ASSIGN_OR_RETURN(set, SampleSet::Open(env, "/samples"));
    options.samples = &*set;
  }
  return CompressFolder(env, recipe, folder, DropToys(), options);
}

ModelView OpenDeep(Env& env, const std::string& dir, bool load = true) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(env, dir, {}, DropToys()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  if (load) REQUIRE_OK(view.LoadAll());
  return view;
}

// Origins of the blocks that are left of a component: "13" for blocks.1 and blocks.3.
std::string LeftOf(const ModelView& view, const std::string& component) {
  std::string left;
  for (const BlockInfo& block : view.blocks()) {
    if (view.ComponentOf(block.path).name == component && block.removable) {
      left += block.origin.substr(block.origin.rfind('.') + 1);
    }
  }
  return left;
}

ToyModel& ToyNamed(const ModelView& view, const std::string& component) {
  return dynamic_cast<ToyModel&>(*view.FindComponent(component)->module);
}

at::Tensor RunWithout(ToyModel& model, const std::set<size_t>& left_out, at::Tensor x) {
  const at::NoGradGuard no_grad;
  x = model.embed->forward(x);
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    if (!left_out.contains(i)) x = model.blocks[i]->forward(x);
  }
  return model.head->forward(x);
}

std::string BlockText(size_t i) { return absl::StrCat("toy.blocks.", i); }

TEST_CASE("each score drops the block that does least, streaming as in memory") {
  const std::string score =
      GENERATE("INFLUENCE", "OUTPUT_ERROR", "OUTPUT_ERROR_GREEDY", "INFLUENCE over: WORST");
  CAPTURE(score);
  const std::unique_ptr<Env> env = DeepDisk();
  ASSERT_OK_AND_ASSIGN(const RunReport report,
                       DropOnDisk(*env, DropText(absl::StrCat("count: 1 score: ", score))));
  const ModelView view = OpenDeep(*env, "/out");
  CHECK(LeftOf(view, "toy") == "0124");
  CHECK(LeftOf(view, "toy_2") == "0124");
  CHECK(report.passes[0].metrics.at("dropped_blocks") == 2);
  CHECK(report.passes[0].metrics.at("error_found") <
        report.passes[0].metrics.at("error_random_best"));

  ModelView whole = TwoDeepToys();
  const at::Tensor x = DeepPoints(9, 1);
  CHECK(RunWithout(ToyNamed(view, "toy"), {}, x).equal(RunWithout(ToyNamed(whole, "toy"), {3}, x)));
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                       DeepRecipe(DropText(absl::StrCat("count: 1 score: ", score))));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  InMemoryOptions options;
  options.samples = &set;
  REQUIRE_OK(CompressInMemory(recipe, whole, options));
  CHECK(DumpModel(whole) == DumpModel(view));
  for (const NamedTensor& named : whole.Tensors()) {
    CHECK(named.tensor.equal(*view.FindTensor(named.name)));
  }

  // What was decided is told with the result.
  ASSERT_OK_AND_ASSIGN(const std::string manifest, env->ReadFile("/out/wanlite.json"));
  CHECK_THAT(manifest, Contains("toy.blocks.3"));
  CHECK_THAT(manifest, Contains("dropped"));
  CHECK_THAT(manifest, Contains("random 1"));
}

TEST_CASE("influence is one minus the cosine of what goes in and what comes out") {
  const std::unique_ptr<Env> env = DeepDisk();
  ModelView view = OpenDeep(*env, "/in", /*load=*/false);
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  PassContext context;
  const std::vector<std::string> blocks{BlockText(1), BlockText(2), BlockText(4)};
  ASSERT_OK_AND_ASSIGN(const std::vector<BlockScore> scores,
                       ScoreInfluence(view, set, "toy", {0, 3, 5}, blocks, context));
  const ModelView whole = TwoDeepToys();
  ToyModel& toy = ToyNamed(whole, "toy");
  const at::NoGradGuard no_grad;
  for (size_t b = 0; b < blocks.size(); ++b) {
    double sum = 0, worst = 0, worst_timestep = 0;
    for (const int64_t pass : {0, 3, 5}) {
      at::Tensor x = toy.embed->forward(DeepPoints(7, 100 + static_cast<uint64_t>(pass)));
      const size_t number = b == 2 ? 4 : b + 1;
      for (size_t i = 0; i < number; ++i) x = toy.blocks[i]->forward(x);
      const at::Tensor y = toy.blocks[number]->forward(x);
      const double score = 1 - at::cosine_similarity(x, y, -1).mean().item<double>();
      sum += static_cast<double>(1 + pass) * score;
      if (score > worst) {
        worst = score;
        worst_timestep = static_cast<double>(900 - 100 * pass);
      }
    }
    CHECK(scores[b].mean == Approx(sum / (1 + 4 + 6)).epsilon(1e-4));
    CHECK(scores[b].worst == Approx(worst).epsilon(1e-4));
    CHECK(scores[b].worst_timestep == worst_timestep);
  }
}

TEST_CASE("an output error is that of the network without the block and those that are gone") {
  const std::unique_ptr<Env> env = DeepDisk();
  ModelView view = OpenDeep(*env, "/in", /*load=*/false);
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  PassContext context;
  ASSERT_OK_AND_ASSIGN(NetworkTrials network,
                       NetworkTrials::Create(view, set, "toy", {2}, nullptr));
  REQUIRE_OK(network.RunOriginal());
  const ModelView whole = TwoDeepToys();
  ToyModel& toy = ToyNamed(whole, "toy");
  const at::Tensor x = DeepPoints(7, 102);
  const at::Tensor original = RunWithout(toy, {}, x);
  const auto error_without = [&](const std::set<size_t>& gone) {
    return ((RunWithout(toy, gone, x) - original).norm() / original.norm()).item<double>();
  };
  for (const std::set<size_t>& gone : {std::set<size_t>{}, {1}, {0, 4}}) {
    std::vector<std::string> left;
    std::set<std::string> left_out;
    std::vector<double> want;
    for (size_t i = 0; i < 5; ++i) {
      if (gone.contains(i)) {
        left_out.insert(BlockText(i));
        continue;
      }
      left.push_back(BlockText(i));
      std::set<size_t> without = gone;
      without.insert(i);
      want.push_back(error_without(without));
    }
    ASSERT_OK_AND_ASSIGN(const std::vector<BlockScore> scores,
                         ScoreOutputError(network, left_out, left, context));
    for (size_t i = 0; i < left.size(); ++i) {
      CHECK(scores[i].mean == Approx(want[i]).epsilon(1e-4));
      CHECK(scores[i].worst == Approx(want[i]).epsilon(1e-4));
      CHECK(scores[i].worst_timestep == 700);
    }
  }
  const std::vector<BlockChoice> random =
      RandomChoices({BlockText(0), BlockText(1), BlockText(2)}, {BlockText(0)}, 3, /*seed=*/7);
  CHECK(random.size() == 2);  // there are no more
  ASSERT_OK_AND_ASSIGN(const std::vector<OutputError> errors,
                       MeasureChoices(network, {{"both", {BlockText(1), BlockText(3)}}}, context));
  CHECK(errors[0].trajectory == Approx(error_without({1, 3})).epsilon(1e-4));
}

TEST_CASE("one block after the other: each is scored without those that are gone") {
  const std::unique_ptr<Env> env = DeepDisk();
  REQUIRE_OK(DropOnDisk(*env, DropText("count: 3 samples: 1 score: OUTPUT_ERROR_GREEDY "
                                       "components: \"toy\"")));
  const ModelView whole = TwoDeepToys();
  ToyModel& toy = ToyNamed(whole, "toy");
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  const int64_t pass = PickPasses(set, "toy", 1).front();
  const at::Tensor x = DeepPoints(7, 100 + static_cast<uint64_t>(pass));
  const at::Tensor original = RunWithout(toy, {}, x);
  std::set<size_t> gone;
  while (gone.size() < 3) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < 5; ++i) {
      std::set<size_t> without = gone;
      if (!without.insert(i).second) continue;
      const double error = (RunWithout(toy, without, x) - original).norm().item<double>();
      if (error >= least) continue;
      least = error;
      best = i;
    }
    gone.insert(best);
  }
  std::string want;
  for (size_t i = 0; i < 5; ++i) {
    if (!gone.contains(i)) absl::StrAppend(&want, i);
  }
  const ModelView view = OpenDeep(*env, "/out");
  CHECK(LeftOf(view, "toy") == want);
  CHECK(LeftOf(view, "toy_2") == "01234");
}

TEST_CASE("blocks by name, by weight, at random, and of all experts together") {
  const std::unique_ptr<Env> env = DeepDisk();
  REQUIRE_OK(DropOnDisk(*env, DropText("blocks: \"toy.blocks.1\" blocks: \"*_2.blocks.4\""),
                        "/named", false));
  CHECK(LeftOf(OpenDeep(*env, "/named"), "toy") == "0234");
  CHECK(LeftOf(OpenDeep(*env, "/named"), "toy_2") == "0123");

  // Random numbers are those of the names inside a component, so experts lose the same blocks.
  REQUIRE_OK(DropOnDisk(*env, DropText("amount: 0.4 score: RANDOM"), "/random", false));
  REQUIRE_OK(DropOnDisk(*env, DropText("amount: 0.4 score: RANDOM"), "/again", false));
  CHECK(FilesOf(*env, "/random") == FilesOf(*env, "/again"));
  CHECK(LeftOf(OpenDeep(*env, "/random"), "toy").size() == 3);
  CHECK(LeftOf(OpenDeep(*env, "/random"), "toy") == LeftOf(OpenDeep(*env, "/random"), "toy_2"));

  REQUIRE_OK(DropOnDisk(*env, DropText("amount: 0.4 experts_together: true"), "/together"));
  CHECK(LeftOf(OpenDeep(*env, "/together"), "toy") == LeftOf(OpenDeep(*env, "/together"), "toy_2"));

  // The norm of all that is in a block.
  ModelView view = OpenDeep(*env, "/in", /*load=*/false);
  PassContext context;
  ASSERT_OK_AND_ASSIGN(const std::vector<BlockScore> norms,
                       ScoreBlockNorms(view, {BlockText(2)}, context));
  double squares = 0;
  for (const at::Tensor& parameter : ToyNamed(TwoDeepToys(), "toy").blocks[2]->parameters()) {
    squares += parameter.detach().square().sum().item<double>();
  }
  CHECK(norms[0].mean == Approx(std::sqrt(squares)).epsilon(1e-5));
  REQUIRE_OK(DropOnDisk(*env, DropText("count: 1 score: L2"), "/norm", false));
}

TEST_CASE("the block before a gap starts as the mean of what it replaces") {
  // Of the middle, and of the start, where it is the block behind the gap.
  struct Gap {
    const char* blocks;
    size_t kept;
    std::vector<size_t> of;
    const char* left;
  };
  const Gap gap =
      GENERATE(Gap{"blocks: \"toy.blocks.2\" blocks: \"toy.blocks.3\"", 1, {1, 2, 3}, "014"},
               Gap{"blocks: \"toy.blocks.0\"", 0, {0, 1}, "1234"});
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kBFloat16);
  const std::unique_ptr<Env> env = DeepDisk();
  ModelView whole = TwoDeepToys();
  if (dtype != at::kFloat) {
    REQUIRE_OK(whole.Cast(dtype));
    REQUIRE_OK(env->RemoveAll("/in"));
    REQUIRE_OK(SaveCheckpoint(*env, "/in", whole));
  }
  const std::string text = DropText(absl::StrCat(gap.blocks, " average: true"));
  REQUIRE_OK(DropOnDisk(*env, text, "/out", false));
  const ModelView view = OpenDeep(*env, "/out");
  CHECK(LeftOf(view, "toy") == gap.left);
  for (const NamedTensor& named : view.BlockTensors(BlockText(gap.kept))) {
    at::Tensor mean = at::zeros(named.tensor.sizes(), at::kDouble);
    for (const size_t block : gap.of) {
      mean +=
          *whole.FindTensor(absl::StrCat(BlockText(block), named.name.substr(BlockText(0).size())));
    }
    mean /= static_cast<double>(gap.of.size());
    // Added up in fp32, then rounded.
    const double rounding = dtype == at::kFloat ? 1e-6 : 1.0 / 128;
    CHECK(at::allclose(named.tensor.to(at::kDouble), mean, rounding, 1e-6));
  }
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, DeepRecipe(text));
  REQUIRE_OK(CompressInMemory(recipe, whole));
  CHECK(DumpModel(whole) == DumpModel(view));
  for (const NamedTensor& named : whole.Tensors()) {
    CHECK(named.tensor.equal(*view.FindTensor(named.name)));
  }
}

TEST_CASE("what a mean does to the output is measured beside the cut") {
  const std::unique_ptr<Env> env = DeepDisk();
  REQUIRE_OK(DropOnDisk(
      *env, DropText("count: 1 score: OUTPUT_ERROR samples: 1 average: true components: \"toy\"")));
  ASSERT_OK_AND_ASSIGN(const std::string manifest, env->ReadFile("/out/wanlite.json"));
  const size_t line = manifest.find("found, averaged");
  REQUIRE(line != std::string::npos);
  const double told = std::stod(manifest.substr(line + 15));
  const ModelView view = OpenDeep(*env, "/out"), whole = TwoDeepToys();
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  const auto pass = static_cast<uint64_t>(PickPasses(set, "toy", 1).front());
  const at::Tensor want = RunWithout(ToyNamed(whole, "toy"), {}, DeepPoints(7, 100 + pass));
  const at::Tensor found = RunWithout(ToyNamed(view, "toy"), {}, DeepPoints(7, 100 + pass));
  CHECK(told == Approx(((found - want).norm() / want.norm()).item<double>()).epsilon(0.01));
}

TEST_CASE("there is no mean of quantized blocks, nor of blocks of several shapes") {
  const std::unique_ptr<Env> env = DeepDisk({12, 12, 10, 12, 12});
  const auto error = [&](const std::string& passes) {
    return std::string(DropOnDisk(*env, passes).status().message());
  };
  CHECK_THAT(error(DropText("blocks: \"toy.blocks.2\" average: true")),
             Contains("average") && Contains("toy.blocks.1.") && Contains("toy.blocks.2."));
  CHECK_THAT(error(DropText("count: 1 average: true")), Contains("average"));
  REQUIRE_OK(DropOnDisk(*env, DropText("blocks: \"toy.blocks.4\" average: true"), "/last", false));
  const std::string int8 = "passes { quantize_int8 { linears { include: \"toy.blocks.1.*\" } } }\n";
  CHECK_THAT(error(int8 + DropText("blocks: \"toy.blocks.0\" average: true")),
             Contains("toy.blocks.1.") && Contains("int8"));
  REQUIRE_OK(
      DropOnDisk(*env, int8 + DropText("blocks: \"toy.blocks.4\" average: true"), "/int8", false));
}

TEST_CASE("quantized blocks are scored and dropped, and what is left is quantized afterwards") {
  const std::unique_ptr<Env> env = DeepDisk({12, 10, 8, 14, 9});
  const std::string int8 = "passes { quantize_int8 { linears { include: \"*.blocks.*\" } } }\n";
  REQUIRE_OK(DropOnDisk(*env, int8 + DropText("count: 2"), "/after"));
  REQUIRE_OK(DropOnDisk(*env, DropText("count: 2") + int8, "/before"));
  const ModelView after = OpenDeep(*env, "/after"), before = OpenDeep(*env, "/before");
  CHECK(LeftOf(after, "toy") == LeftOf(before, "toy"));
  CHECK(DumpModel(after) == DumpModel(before));
  const at::Tensor x = DeepPoints(9, 1);
  CHECK(
      RunWithout(ToyNamed(after, "toy"), {}, x).equal(RunWithout(ToyNamed(before, "toy"), {}, x)));
}

TEST_CASE("rounds of a repeat come to what one pass drops, to a block") {
  for (const int64_t blocks : {4, 7, 30, 40}) {
    for (const double amount : {0.25, 0.4, 0.5}) {
      for (const int rounds : {2, 5, 10}) {
        CAPTURE(blocks, amount, rounds);
        const std::vector<int64_t> hidden(static_cast<size_t>(blocks), 2);
        const auto left = [&](const std::string& passes) -> int64_t {
          auto model = std::make_shared<ToyModel>(8, hidden);
          model->Randomize(1);
          ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({EditableToy(model)}));
          ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, DeepRecipe(passes));
          REQUIRE_OK(CompressInMemory(recipe, view));
          return static_cast<int64_t>(view.blocks().size()) - 1;
        };
        const std::string drop = absl::StrCat("drop_blocks { amount: ", amount, " score: RANDOM }");
        const int64_t once = left(absl::StrCat("passes { ", drop, " }"));
        const int64_t often =
            left(absl::StrCat("passes { repeat { rounds: ", rounds, " passes { ", drop, " } } }"));
        CHECK(std::abs(once - often) <= 1);
        const std::string count =
            absl::StrCat("drop_blocks { count: ", blocks - once, " score: RANDOM }");
        CHECK(left(absl::StrCat("passes { repeat { rounds: ", rounds, " passes { ", count,
                                " } } }")) == once);
      }
    }
  }
}

TEST_CASE("the plan of equal blocks is exact, that of unequal ones an estimate") {
  const bool equal = GENERATE(true, false);
  const std::unique_ptr<Env> env =
      equal ? DeepDisk() : DeepDisk(std::vector<int64_t>{12, 12, 10, 12, 12});
  const ModelView view = OpenDeep(*env, "/in", /*load=*/false);
  const auto plan_of = [&](const std::string& passes) {
    ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, DeepRecipe(passes));
    ASSERT_OK_AND_ASSIGN(const PassNotes notes, recipe.stages()[0].pass->Plan(view));
    return notes;
  };
  CHECK(plan_of(DropText("count: 1")).exact == equal);
  CHECK(plan_of(DropText("blocks: \"toy.blocks.2\"")).exact);
  CHECK(plan_of(DropText("count: 1 among { from: 3 }")).exact);
  CHECK(plan_of(DropText("count: 1 score: OUTPUT_ERROR_GREEDY")).peak_memory_bytes > 0);
}

TEST_CASE("what cannot be meant is refused before any weight is read") {
  const std::unique_ptr<Env> env = DeepDisk();
  const ModelView view = OpenDeep(*env, "/in", /*load=*/false);
  const auto error = [&](const std::string& options) -> std::string {
    const absl::StatusOr<ParsedRecipe> recipe = DeepRecipe(DropText(options));
    if (!recipe.ok()) return std::string(recipe.status().message());
    return std::string(recipe->stages()[0].pass->Plan(view).status().message());
  };
  const std::string loop = " loop { steps: 4 batch: 2 learning_rate: 0.01 }";
  for (const auto& [options, words] : std::vector<std::pair<std::string, std::string>>{
           {"", "amount"},
           {"amount: 1", "[0, 1)"},
           {"amount: nan", "finite"},
           {"amount: -0.1", "[0, 1)"},
           {"amount: 0.5 count: 1", "beside another"},
           {"count: 0", "at least 1"},
           {"count: 6", "6 is more than the 5 blocks of toy"},
           {"count: 5", "leaves none"},
           {"amount: 0.95", "leaves none"},
           {"count: 2 among { from: 1 to: 2 }", "2 is more than the 1 blocks"},
           {"count: 1 among { from: 5 }", "there is no block"},
           {"count: 1 skip: OUTER_BLOCKS", "OUTER_BLOCKS leaves nothing"},
           {"count: 1 components: \"vae\"", "fits no network"},
           {"count: 1 samples: 0", "samples"},
           {"count: 1 score: L2 samples: 3", "samples"},
           {"count: 1 score: L2 over: WORST", "over"},
           {"count: 1 score: LEARNED", "loop"},
           {"count: 1 rank: 3", "LEARNED"},
           {"count: 1 score: LEARNED group: 13" + loop, "group"},
           {"count: 1 score: LEARNED group: 1" + loop, "group"},
           {"count: 1 score: LEARNED rank: 0" + loop, "rank"},
           {"count: 1 score: LEARNED loop { batch: 1 learning_rate: 0.1 }", "steps"},
           {"count: 1 score: LEARNED experts_together: true" + loop, "experts_together"},
           {"blocks: \"toy.blocks.9\"", "fits no block"},
           {"blocks: \"toy.blocks.*\"", "leaves none"},
           {"blocks: \"toy.blocks.1\" score: L2", "score"},
           {"blocks: \"toy.blocks.1\" among { from: 1 }", "among"},
       }) {
    CAPTURE(options);
    CHECK_THAT(error(options), Contains(words));
  }
  CHECK_THAT(std::string(DeepRecipe("passes { repeat { rounds: 2 passes { drop_blocks { blocks: "
                                    "\"toy.blocks.1\" } } } }")
                             .status()
                             .message()),
             Contains("round"));
  CHECK(DropOnDisk(*env, DropText("count: 1"), "/out", false).status().code() ==
        absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("a run that drops blocks by their scores is resumed after a kill at any write") {
  const std::string text = DropText("count: 2 score: OUTPUT_ERROR samples: 2 average: true");
  const std::unique_ptr<Env> whole = DeepDisk();
  REQUIRE_OK(DropOnDisk(*whole, text));
  const auto want = FilesOf(*whole, "/out");
  int64_t kill = 0;
  for (;; kill += 3) {
    const std::unique_ptr<Env> env = DeepDisk();
    const absl::StatusOr<RunReport> killed = DropOnDisk(*NewFaultEnv(*env, kill), text);
    if (killed.ok()) break;
    INFO("killed at write " << kill);
    REQUIRE_OK(DropOnDisk(*env, text));
    CHECK(FilesOf(*env, "/out") == want);
  }
  CHECK(kill > 30);
}

TEST_CASE("blocks of a Wan transformer are dropped, and the rest computes on") {
  const std::unique_ptr<Env> env = testing::DiskWithWan(false, 4);
  const std::vector<Values> inputs = testing::TransformerInputs(4, 11);
  testing::WriteTransformerSamples(*env, "/samples", inputs);
  REQUIRE_OK(testing::CompressWan(*env, {"drop_blocks { amount: 0.25 average: true }"}, "/samples",
                                  "/out"));
  const ModelView view = testing::WanView(*env, "/out");
  CHECK(view.blocks().size() == 1 + 3);
  const at::Tensor output = testing::OutputOf(view, "transformer", inputs[0]);
  CHECK(output.isfinite().all().item<bool>());
  REQUIRE_OK(testing::CompressWan(*env,
                                  {"drop_blocks { count: 1 }", "quantize_int8 { }",
                                   "drop_blocks { count: 1 score: OUTPUT_ERROR }"},
                                  "/samples", "/twice"));
  CHECK(testing::WanView(*env, "/twice").blocks().size() == 1 + 2);
}

}  // namespace
}  // namespace wanlite
