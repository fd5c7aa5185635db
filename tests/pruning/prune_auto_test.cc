// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// prune-auto: what it counts, chooses, says, keeps and refuses.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/proto/manifest.pb.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/mask_units.h"
#include "src/pruning/prune_auto_problem.h"
#include "src/search/sensitivity_scan.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/toy_architecture.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/block_program.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::CompressWan;
using testing::OutputOf;
using testing::ToyModel;
using testing::WanView;

ModelView ToyView(const std::vector<int64_t>& hidden, uint64_t seed = 1) {
  auto model = std::make_shared<ToyModel>(8, hidden);
  model->Randomize(seed);
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({testing::EditableToy(model)}));
  return view;
}

PruneAutoOptions ToyOptions(bool blocks = false) {
  PruneAutoOptions options;
  options.add_kinds("mlp.channels");
  for (const double ratio : {0.25, 0.5, 0.75}) options.add_ratios(ratio);
  options.set_multiple(1);
  options.set_blocks(blocks);
  return options;
}

int64_t ValuesOf(const ModelView& model) {
  int64_t values = 0;
  for (const NamedTensor& named : model.Tensors()) values += named.tensor.numel();
  return values;
}

void Prune(ModelView& model, const AutoModel& found, const Pruning& pruning) {
  std::vector<std::string> dropped;
  for (size_t b = 0; b < found.blocks.size(); ++b) {
    if (pruning.left_out.contains(b)) dropped.push_back(found.blocks[b].path);
  }
  for (size_t g = 0; g < found.groups.size(); ++g) {
    REQUIRE_OK(model.KeepUnits(found.groups[g].group.name, at::arange(pruning.kept[g], at::kLong)));
  }
  if (!dropped.empty()) REQUIRE_OK(model.DropBlocks(dropped));
}

// A budget's fraction of a disk of tiny Wan with samples of six steps.
std::unique_ptr<Env> DiskToSearch(int layers = 4) {
  std::unique_ptr<Env> env = testing::DiskWithWan(/*text_encoder=*/false, layers);
  testing::WriteTransformerSamples(*env, "/samples", testing::TransformerInputs(6, 3));
  return env;
}

absl::StatusOr<RunReport> Search(Env& env, const std::string& options,
                                 const std::string& out = "/out",
                                 const std::string& samples = "/samples") {
  return CompressWan(env, {absl::StrCat("prune_auto { ", options, " }")}, samples, out,
                     /*seed=*/7);
}

// The error of a folder's model as the docs define it, computed anew, of all six samples.
double TrajectoryErrorOf(Env& env, const std::string& dir) {
  const ModelView original = WanView(env, "/model"), now = WanView(env, dir);
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(env, "/samples"));
  at::Tensor error, path;
  for (int64_t i = 0; i < set.size("transformer"); ++i) {
    const double weight = set.sample("transformer", i).weight;
    ASSERT_OK_AND_ASSIGN(const Values values, set.Read("transformer", i));
    const at::Tensor want = weight * OutputOf(original, "transformer", values).to(at::kDouble);
    const at::Tensor found = weight * OutputOf(now, "transformer", values).to(at::kDouble);
    error = error.defined() ? error + (found - want) : found - want;
    path = path.defined() ? path + want : want;
  }
  return error.norm().item<double>() / path.norm().item<double>();
}

TEST_CASE("what a pruning is said to cost is what the pruned model has") {
  Random random(11);
  for (int round = 0; round < 8; ++round) {
    const auto env = testing::DiskWithWan(/*text_encoder=*/false, /*layers=*/4);
    ModelView model = WanView(*env, "/model");
    PruneAutoOptions options;
    options.add_kinds("ffn.channels");
    options.add_kinds("*attn.heads");
    for (const double ratio : {0.1, 0.3, 0.5, 0.9}) options.add_ratios(ratio);
    options.set_multiple(1 + random.Below(3));
    options.set_blocks(true);
    ASSERT_OK_AND_ASSIGN(const AutoModel found, FindAutoModel(model, options));
    REQUIRE(found.groups.size() == 12);
    REQUIRE(found.blocks.size() == 4);
    const bool bytes = round % 2 == 0;
    const PruneCosts costs = PruneCosts::OfParameters(model, found, bytes);
    const auto size = [&] { return (bytes ? 4 : 1) * static_cast<double>(ValuesOf(model)); };
    CHECK(costs.whole() == size());
    Pruning pruning = WholeOf(found);
    for (size_t g = 0; g < found.groups.size(); ++g) {
      const std::vector<int64_t>& kept = found.groups[g].kept;
      pruning.kept[g] = kept[static_cast<size_t>(random.Below(static_cast<int64_t>(kept.size())))];
    }
    if (round >= 4) pruning.left_out.insert(static_cast<size_t>(random.Below(4)));
    Prune(model, found, pruning);
    CHECK(costs.Of(found, pruning) == size());
  }
}

TEST_CASE("multiply-adds are those of the layers' rows and of attention") {
  const auto env = testing::DiskWithWan(/*text_encoder=*/false, /*layers=*/2);
  const ModelView model = WanView(*env, "/model");
  PruneAutoOptions options;
  options.add_kinds("ffn.channels");
  options.add_kinds("self_attn.heads");
  options.add_ratios(0.5);
  options.set_multiple(1);
  ASSERT_OK_AND_ASSIGN(const AutoModel found, FindAutoModel(model, options));
  const std::string block = "transformer.blocks.0.";
  PruneCosts::Work work;
  for (const char* layer : {"q", "k", "v", "o"}) {
    work.linears[block + "self_attn." + layer] = 24 * 24 * 10;
  }
  work.linears[block + "ffn.0"] = work.linears[block + "ffn.2"] = 24 * 40 * 10;
  work.linears["transformer.head.head"] = 1000;
  work.attentions[block + "self_attn.q"] = 2 * 10 * 10 * 24;
  const PruneCosts costs = PruneCosts::OfWork(model, found, work);
  CHECK(costs.whole() == 4 * 5760 + 2 * 9600 + 1000 + 4800);
  for (size_t g = 0; g < found.groups.size(); ++g) {
    const AxisGroup& group = found.groups[g].group;
    if (group.block + "." != block) {
      CHECK(costs.Saved(g, group.units / 2) == 0);
    } else if (group.kind == "ffn.channels") {
      CHECK(costs.Saved(g, 10) == 2 * 9600 * 3 / 4);
    } else {
      CHECK(costs.Saved(g, 1) == (4 * 5760 + 4800) / 2);
    }
  }
}

TEST_CASE("a time between two that were measured lies between them") {
  const PruneCosts costs = PruneCosts::OfTime(10, {4}, {{{8, 0}, {4, 1}, {2, 2}}});
  CHECK(costs.Saved(0, 8) == 0);
  CHECK(costs.Saved(0, 6) == 0.5);
  CHECK(costs.Saved(0, 3) == 1.5);
  CHECK(costs.Saved(0, 1) == 2);
}

TEST_CASE("the found pruning is the best of all there are, blocks included") {
  Random random(5);
  for (int round = 0; round < 30; ++round) {
    const bool blocks = round % 3 != 0;
    const ModelView model = ToyView({6 + random.Below(8), 6 + random.Below(8), 8});
    ASSERT_OK_AND_ASSIGN(const AutoModel found, FindAutoModel(model, ToyOptions(blocks)));
    std::map<std::pair<size_t, size_t>, double> errors;
    std::vector<double> block_errors;
    for (size_t g = 0; g < found.groups.size(); ++g) {
      double error = 0;
      for (size_t c = 0; c < found.groups[g].kept.size(); ++c) {
        errors[{g, c}] = error;
        error += random.Uniform();
      }
      block_errors.push_back(error + random.Uniform() - 0.5);
    }
    const PruneCosts costs = PruneCosts::OfParameters(model, found, /*bytes=*/false);
    const double budget = (0.45 + 0.5 * random.Uniform()) * costs.whole();
    const PruneProblem problem = MakePruneProblem(
        found, costs, budget, blocks,
        [&](size_t g, size_t c) {
          return errors.at({g, c});
        },
        [&](size_t b) { return block_errors[b]; });
    // By hand: all combinations of widths and blocks, but the block that stays.
    const size_t stays = static_cast<size_t>(
        std::max_element(block_errors.begin(), block_errors.end()) - block_errors.begin());
    double least = INFINITY;
    std::function<void(size_t, Pruning, double)> walk = [&](size_t b, Pruning pruning,
                                                            double error) {
      if (b == found.blocks.size()) {
        if (costs.Of(found, pruning) <= budget) least = std::min(least, error);
        return;
      }
      const size_t g = found.blocks[b].groups[0];
      for (size_t c = 0; c < found.groups[g].kept.size(); ++c) {
        pruning.kept[g] = found.groups[g].kept[c];
        walk(b + 1, pruning, error + errors.at({g, c}));
      }
      if (!blocks || b == stays) return;
      pruning.left_out.insert(b);
      walk(b + 1, pruning, error + block_errors[b]);
    };
    walk(0, WholeOf(found), 0);
    const auto best = BestAllocation(problem.choices, problem.budget_of_items());
    INFO("round " << round << ", budget " << budget);
    REQUIRE(best.has_value() == std::isfinite(least));
    if (!best.has_value()) continue;
    CHECK(SquaredErrorOf(problem.choices, *best) == Approx(least));
    const Pruning pruning = problem.PruningOf(found, *best);
    CHECK(costs.Of(found, pruning) <= budget);
    CHECK(costs.Of(found, pruning) == Approx(problem.fixed + CostOf(problem.choices, *best)));
    // As much of everything, by as little as there is room for.
    const auto uniform = UniformPruning(found, costs, budget, 1);
    if (uniform.has_value()) CHECK(costs.Of(found, *uniform) <= budget);
  }
}

TEST_CASE("a masked block computes what a cut one does, and is as it was afterwards") {
  const auto env = testing::DiskWithWan(/*text_encoder=*/false, /*layers=*/2);
  const auto inputs = testing::TransformerInputs(2, 5);
  for (const char* kind : {"ffn.channels", "self_attn.heads", "cross_attn.heads"}) {
    INFO(kind);
    ModelView masked = WanView(*env, "/model"), cut = WanView(*env, "/model");
    const at::Tensor before = OutputOf(masked, "transformer", inputs[0]);
    const std::string name = absl::StrCat("transformer.blocks.1.", kind);
    const auto group = std::find_if(masked.groups().begin(), masked.groups().end(),
                                    [&](const AxisGroup& g) { return g.name == name; });
    REQUIRE(group != masked.groups().end());
    std::vector<int64_t> removed, kept;
    for (int64_t unit = 0; unit < group->units; ++unit) {
      (unit % 2 == 0 ? removed : kept).push_back(unit);
    }
    const Trial::Edit edit = MaskUnits({{*group, removed}});
    REQUIRE_OK(cut.KeepUnits(name, at::tensor(kept, at::kLong)));
    {
      ASSERT_OK_AND_ASSIGN(const BlockLease lease, masked.Lease("transformer.blocks.1"));
      ASSERT_OK_AND_ASSIGN(const Trial::Undo undo, edit(masked, lease));
      const at::Tensor with = OutputOf(masked, "transformer", inputs[0]);
      CHECK(at::allclose(with, OutputOf(cut, "transformer", inputs[0]), 1e-4, 1e-5));
      CHECK_FALSE(at::allclose(with, before, 1e-4, 1e-5));
      REQUIRE_OK(undo());
    }
    CHECK(at::equal(OutputOf(masked, "transformer", inputs[0]), before));
  }
}

TEST_CASE("widths under a budget: within it, better than chance, and as measured") {
  const auto env = DiskToSearch();
  const bool bytes = GENERATE(false, true);
  const double fraction = bytes ? 0.85 : 0.75;
  ASSERT_OK_AND_ASSIGN(const RunReport report,
                       Search(*env, absl::StrCat("budget { ", bytes ? "bytes" : "parameters",
                                                 "_fraction: ", fraction, " } samples: 6")));
  const ModelView before = WanView(*env, "/model"), after = WanView(*env, "/out");
  const double kept = static_cast<double>(ValuesOf(after)) / static_cast<double>(ValuesOf(before));
  CHECK(kept <= fraction);
  CHECK(kept > fraction - 0.05);
  const auto& metrics = report.passes[0].metrics;
  CHECK(metrics.at("cost_fraction") == Approx(kept));
  // What was measured, of masked units, is what the written model without them does.
  CHECK(metrics.at("error_found") == Approx(TrajectoryErrorOf(*env, "/out")).epsilon(1e-3));
  for (const char* random : {"error_random_1", "error_random_2", "error_random_3"}) {
    CHECK(metrics.at("error_found") < metrics.at(random));
  }
  CHECK(metrics.at("error_found") <= metrics.at("error_uniform"));
  CHECK(metrics.at("beats_random") == 1);
  const std::string notes = absl::StrJoin(report.passes[0].notes, "\n");
  INFO(notes);
  for (const AxisGroup& group : before.groups()) {
    if (!group.block.empty()) CHECK(absl::StrContains(notes, group.name));
  }
  CHECK(absl::StrContains(notes, "of the best of 3 random allocations"));
  CHECK(absl::StrContains(notes, " would save "));
}

TEST_CASE("a block that does nothing goes, and the others keep units of their own") {
  const auto original = DiskToSearch(/*layers=*/5);
  ModelView model = WanView(*original, "/model");
  for (const NamedTensor& named : model.BlockTensors("transformer.blocks.2")) {
    const at::NoGradGuard no_grad;
    const bool gives =
        absl::StrContains(named.name, "attn.o.") || absl::StrContains(named.name, "ffn.2.");
    if (gives) at::Tensor(named.tensor).zero_();
  }
  const auto env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/model", model));
  testing::WriteTransformerSamples(*env, "/samples", testing::TransformerInputs(6, 3));
  ASSERT_OK_AND_ASSIGN(const RunReport report,
                       Search(*env,
                              "budget { parameters_fraction: 0.65 } blocks: true"
                              " samples: 6 controls: 2"));
  const std::string notes = absl::StrJoin(report.passes[0].notes, "\n");
  INFO(notes);
  const auto& metrics = report.passes[0].metrics;
  REQUIRE(metrics.at("blocks_dropped") >= 1);
  CHECK(metrics.at("groups_cut") >= 1);
  CHECK(metrics.at("error_found") == Approx(TrajectoryErrorOf(*env, "/out")).epsilon(1e-3));
  CHECK(metrics.at("beats_random") == 1);
  // Every block that is left has rows of its own origin.
  const ModelView after = WanView(*env, "/out");
  std::set<std::string> left;
  for (const BlockInfo& block : after.blocks()) {
    if (!block.removable) continue;
    left.insert(block.origin);
    const at::Tensor now = *after.FindTensor(block.path + ".ffn.0.weight");
    const at::Tensor old = *model.FindTensor(block.origin + ".ffn.0.weight");
    int64_t row = 0;
    for (int64_t unit = 0; unit < now.size(0); ++unit) {
      while (row < old.size(0) && !at::equal(old[row], now[unit])) ++row;
      CHECK(row < old.size(0));
    }
  }
  CHECK_FALSE(left.contains("transformer.blocks.2"));
  CHECK(left.size() + static_cast<size_t>(metrics.at("blocks_dropped")) == 5);
}

TEST_CASE("units that do nothing are found, and go first") {
  const auto original = DiskToSearch(/*layers=*/3);
  ModelView model = WanView(*original, "/model");
  {
    const at::NoGradGuard no_grad;
    at::Tensor down = *model.FindTensor("transformer.blocks.1.ffn.2.weight");
    down.narrow(1, 10, 20).zero_();  // half of 40
    at::Tensor up = *model.FindTensor("transformer.blocks.1.ffn.0.weight");
    up.narrow(0, 10, 20).mul_(0.01);
  }
  const auto env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/model", model));
  testing::WriteTransformerSamples(*env, "/samples", testing::TransformerInputs(6, 3));
  // As much as these units are, and a bit less.
  const double fraction = 1 - 0.98 * 20 * 49 / static_cast<double>(ValuesOf(model));
  ASSERT_OK_AND_ASSIGN(
      const RunReport report,
      Search(*env, absl::StrCat("budget { parameters_fraction: ", fraction, " } samples: 6")));
  INFO(absl::StrJoin(report.passes[0].notes, "\n"));
  CHECK(report.passes[0].metrics.at("error_found") < 1e-5);
  CHECK(report.passes[0].metrics.at("groups_cut") == 1);
  CHECK((*WanView(*env, "/out").FindTensor("transformer.blocks.1.ffn.2.weight")).size(1) == 20);
}

TEST_CASE("a search of widths that is killed at any write ends with the bytes of an unbroken one") {
  const std::string scan = GENERATE("", "scan: \"/scores/scan.json\"");
  const std::string options =
      absl::StrCat("budget { parameters_fraction: 0.8 } samples: 2 controls: 1 blocks: true ",
                   "ratios: 0.5 units { kinds: \"ffn.channels\" } ", scan);
  const auto unbroken = DiskToSearch(/*layers=*/2);
  REQUIRE_OK(Search(*unbroken, options));
  const auto expected = testing::FilesOf(*unbroken, "/");
  CHECK(unbroken->FileExists("/scores/scan.json") == !scan.empty());
  int64_t kill = 0;
  for (;; ++kill) {
    INFO(scan << " killed at write " << kill);
    const auto disk = DiskToSearch(/*layers=*/2);
    const absl::StatusOr<RunReport> killed = Search(*NewFaultEnv(*disk, kill), options);
    if (killed.ok()) break;
    REQUIRE(killed.status().code() == StatusCode::kResourceExhausted);
    REQUIRE_OK(Search(*disk, options));
    REQUIRE(testing::FilesOf(*disk, "/") == expected);
  }
  CHECK(kill > 20);
}

TEST_CASE("a scan of widths serves other budgets and ratios, and is believed") {
  const auto env = DiskToSearch(/*layers=*/3);
  const std::string scan = "scan: \"/scan.json\" units { kinds: \"ffn.channels\" } ";
  REQUIRE_OK(Search(*env, "budget { parameters_fraction: 0.95 } ratios: 0.5 " + scan));
  ASSERT_OK_AND_ASSIGN(SensitivityScan known, ReadScan(*env, "/scan.json"));
  REQUIRE(known.items.size() == 3);
  CHECK(known.pass == "prune-auto");
  // Somebody scored this group as hopeless.
  const std::string hopeless = "transformer.blocks.1.ffn.channels";
  REQUIRE(known.items.at(hopeless).scores.size() == 1);
  for (auto& [key, score] : known.items.at(hopeless).scores) score.trajectory_error = 1000;
  REQUIRE_OK(WriteScan(*env, "/scan.json", known));
  REQUIRE_OK(Search(*env, "budget { parameters_fraction: 0.95 } ratios: 0.5 " + scan, "/b"));
  CHECK((*WanView(*env, "/b").FindTensor("transformer.blocks.1.ffn.0.weight")).size(0) == 40);
  // Other ratios and blocks are added to what is there.
  REQUIRE_OK(Search(
      *env, "budget { parameters_fraction: 0.8 } ratios: 0.25 ratios: 0.5 blocks: true " + scan,
      "/c"));
  ASSERT_OK_AND_ASSIGN(const SensitivityScan more, ReadScan(*env, "/scan.json"));
  CHECK(more.items.size() == 6);
  for (const auto& [name, item] : known.items) {
    CHECK(more.items.at(name).scores.size() == 2);
    for (const auto& [key, score] : item.scores) {
      CHECK(more.items.at(name).scores.at(key).trajectory_error == score.trajectory_error);
    }
  }
  // Other units are other choices.
  REQUIRE_OK(Search(
      *env, "budget { parameters_fraction: 0.95 } ratios: 0.5 criterion { score: RANDOM } " + scan,
      "/d"));
  ASSERT_OK_AND_ASSIGN(const SensitivityScan random, ReadScan(*env, "/scan.json"));
  CHECK(random.items.at(hopeless).scores.size() == 3);
}

TEST_CASE("a scan of another model or other samples is refused, not overwritten") {
  const auto env = DiskToSearch(/*layers=*/2);
  const std::string options = "budget { parameters_fraction: 0.9 } scan: \"/scan.json\" ";
  REQUIRE_OK(Search(*env, options));
  const std::string scan = *env->ReadFile("/scan.json");
  const auto refused = [&](const absl::Status& status, const std::string& said) {
    INFO(status.ToString());
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(absl::StrContains(status.message(), said));
    CHECK(*env->ReadFile("/scan.json") == scan);
  };
  testing::WriteTransformerSamples(*env, "/others", testing::TransformerInputs(6, 4));
  refused(Search(*env, options, "/b", "/others").status(),
          "/scan.json: holds scores of other samp");
  refused(Search(*env, options + "samples: 2", "/c").status(), "other forward passes of transf");
  refused(
      CompressWan(*env,
                  {"prune_magnitude { amount: 0.1 }", absl::StrCat("prune_auto { ", options, " }")},
                  "/samples", "/d")
          .status(),
      "transformer with other weights");
}

TEST_CASE("budgets of operations and of time are met by what was counted and measured") {
  const auto env = DiskToSearch(/*layers=*/3);
  ASSERT_OK_AND_ASSIGN(const RunReport counted,
                       Search(*env, "budget { flops_fraction: 0.7 } controls: 1"));
  CHECK(counted.passes[0].metrics.at("cost_fraction") <= 0.7);
  CHECK(counted.passes[0].metrics.at("cost_fraction") > 0.6);
  ASSERT_OK_AND_ASSIGN(
      const RunReport timed,
      Search(*env, "budget { latency_fraction: 0.999 } controls: 1 scan: \"/scan.json\"", "/t"));
  CHECK(timed.passes[0].metrics.at("cost_fraction") <= 0.999);
  ASSERT_OK_AND_ASSIGN(const SensitivityScan scan, ReadScan(*env, "/scan.json"));
  for (const char* block : {"0", "1", "2"}) {
    const std::string path = absl::StrCat("transformer.blocks.", block);
    CHECK(scan.items.at(path).seconds.at("whole") > 0);
    // 40 units, six ratios.
    CHECK(scan.items.at(path + ".ffn.channels").seconds.size() == 6);
    CHECK(scan.items.at(path + ".ffn.channels").seconds.contains("keep 10"));
  }
}

TEST_CASE("the plan of a search of widths is an estimate near its budget") {
  const auto env = DiskToSearch();
  const bool blocks = GENERATE(false, true);
  const std::string options = absl::StrCat("budget { parameters_fraction: 0.7 } blocks: ", blocks);
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                       ParsedRecipe::Parse(absl::StrCat("passes { prune_auto { ", options, " } }"),
                                           "recipe", BuiltinPasses()));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans, PlanRecipe(recipe, folder));
  CHECK(plans[0].estimated);
  const double kept = static_cast<double>(plans[0].parameters_after) /
                      static_cast<double>(plans[0].parameters_before);
  CHECK(kept <= 0.7);
  CHECK(kept > 0.62);
  CHECK(plans[0].peak_memory_bytes > 0);
  const std::string notes = absl::StrJoin(plans[0].notes, "\n");
  INFO(notes);
  CHECK(absl::StrContains(notes, "scoring takes the time of about"));
  CHECK(absl::StrContains(notes, "and 4 blocks") == blocks);
}

TEST_CASE("what a search of widths cannot do is refused by the field that asks for it") {
  const auto env = DiskToSearch(/*layers=*/2);
  const std::string budget = "budget { parameters_fraction: 0.5 } ";
  const std::pair<std::string, std::string> wrong[] = {
      {"", "budget: is missing"},
      {"budget { parameters_fraction: 1.5 }", "budget.parameters_fraction: 1.5 is not"},
      {"budget { bytes_fraction: 0 }", "budget.bytes_fraction: 0 is not"},
      {"budget { flops_fraction: -1 }", "budget.flops_fraction: -1 is not"},
      {"budget { latency_fraction: nan }", "budget.latency_fraction: wants a finite number"},
      {budget + "ratios: 0.5 ratios: 1", "ratios[1]: 1 is not"},
      {budget + "samples: 0", "samples: 0, wanted at least 1"},
      {budget + "multiple: 0", "multiple: 0, wanted at least 1"},
      {budget + "controls: -1", "controls: -1 is not"},
      {budget + "criterion { scope: GLOBAL }", "criterion.scope: GLOBAL would"},
      // From shapes, before anything is written:
      {"budget { parameters_fraction: 0.1 }", "with the largest ratios they take"},
      {budget + "kinds: \"width\"", "width is in several blocks"},
      {budget + "units { include: \"nothing\" }", "units.include[0]"},
      {budget + "kinds: \"nothing\"", "no group of a kind like nothing"},
  };
  const auto before = testing::FilesOf(*env, "/");
  for (const auto& [options, said] : wrong) {
    const absl::Status status = Search(*env, options).status();
    INFO(options << ": " << status.ToString());
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(absl::StrContains(status.message(), said));
  }
  // Layers in other formats have no columns that a trial could mask.
  const absl::Status quantized =
      CompressWan(*env, {"quantize_int8 { }", "prune_auto { " + budget + " }"}, "/samples", "/q")
          .status();
  INFO(quantized.ToString());
  CHECK(quantized.code() == StatusCode::kInvalidArgument);
  CHECK(absl::StrContains(quantized.message(), "int8"));
  CHECK(testing::FilesOf(*env, "/") == before);
}

}  // namespace
}  // namespace wanlite
