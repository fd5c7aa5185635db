// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Blocks chosen together with a short recovery.
#include "src/pruning/learned_depth.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/toy_architecture.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using testing::EditableToy;
using testing::FilesOf;
using testing::ToyModel;

TEST_CASE("groups of neighbours lose their share, and all that is asked for") {
  for (int64_t count = 1; count <= 12; ++count) {
    std::vector<std::string> blocks;
    for (int64_t i = 0; i < count; ++i) blocks.push_back(absl::StrCat(i));
    for (int64_t size = 2; size <= 5; ++size) {
      for (int64_t drop = 0; drop <= count; ++drop) {
        CAPTURE(count, size, drop);
        int64_t left = 0;
        std::vector<std::string> all;
        for (const DepthGroup& group : DepthGroups(blocks, size, drop)) {
          const auto members = static_cast<int64_t>(group.blocks.size());
          CHECK(members <= size);
          CHECK(group.keep >= 0);
          CHECK(group.keep <= members);
          const double share =
              static_cast<double>(members * (count - drop)) / static_cast<double>(count);
          CHECK(std::abs(static_cast<double>(group.keep) - share) <= 1);
          left += group.keep;
          all.insert(all.end(), group.blocks.begin(), group.blocks.end());
        }
        CHECK(left == count - drop);
        CHECK(all == blocks);
      }
    }
  }
}

TEST_CASE("subsets are all there are, each once") {
  for (const auto& [count, keep, want] : std::vector<std::array<int64_t, 3>>{
           {4, 2, 6}, {4, 4, 1}, {4, 0, 1}, {5, 3, 10}, {1, 1, 1}}) {
    const auto subsets = Subsets(count, keep);
    CHECK(static_cast<int64_t>(subsets.size()) == want);
    CHECK(std::set<std::vector<int64_t>>(subsets.begin(), subsets.end()).size() == subsets.size());
    for (const std::vector<int64_t>& subset : subsets) {
      CHECK(static_cast<int64_t>(subset.size()) == keep);
      CHECK(std::is_sorted(subset.begin(), subset.end()));
    }
  }
}

// Six blocks, of which 1 and 4 do nothing.
std::shared_ptr<ToyModel> ToyWithIdleBlocks() {
  auto model = std::make_shared<ToyModel>(8, std::vector<int64_t>(6, 12));
  model->Randomize(3);
  const at::NoGradGuard no_grad;
  for (const size_t idle : {1, 4}) {
    model->blocks[idle]->down->weight().dense()->mul_(1e-3);
    model->blocks[idle]->down->bias()->mul_(1e-3);
  }
  return model;
}

const ArchitectureRegistry& IdleToys() {
  static const ArchitectureRegistry& registry = *[] {
    auto* list = new ArchitectureRegistry;
    REQUIRE_OK(list->Register(testing::ToyArchitecture()));
    list->weight_formats() = BuiltinWeightFormats();
    return list;
  }();
  return registry;
}

std::unique_ptr<Env> IdleDisk(at::ScalarType dtype = at::kFloat) {
  std::unique_ptr<Env> env = NewMemEnv();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({EditableToy(ToyWithIdleBlocks())}));
  if (dtype != at::kFloat) REQUIRE_OK(view.Cast(dtype));
  REQUIRE_OK(SaveCheckpoint(*env, "/in", view));
  std::vector<Values> inputs;
  for (uint64_t i = 0; i < 12; ++i) {
    inputs.push_back({{"input", at::randn({6, 4}, at::detail::createCPUGenerator(40 + i))}});
  }
  testing::WriteSampleSet(*env, "/samples", "toy", inputs);
  return env;
}

constexpr char kLearned[] =
    "seed: 5 passes { drop_blocks { count: 2 score: LEARNED group: 3 rank: 2 samples: 4 "
    "loop { steps: 40 batch: 4 learning_rate: 0.01 state_every: 5 } } }";

absl::StatusOr<RunReport> DropLearned(Env& env, const std::string& text = kLearned) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Parse(text, "r.textproto", BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, ModelFolder::Open(env, "/in", {}, IdleToys()));
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, "/samples"));
  CompressOptions options;
  options.out_dir = "/out";
  options.samples = &set;
  return CompressFolder(env, recipe, folder, IdleToys(), options);
}

std::string OriginsLeft(Env& env) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(env, "/out", {}, IdleToys()));
  ASSERT_OK_AND_ASSIGN(const ModelView view, folder.BuildView());
  std::string left;
  for (const BlockInfo& block : view.blocks()) {
    if (block.removable) left += block.origin.substr(block.origin.rfind('.') + 1);
  }
  return left;
}

TEST_CASE("learning finds the blocks that do nothing, and leaves the others as they were") {
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kBFloat16);
  const std::unique_ptr<Env> env = IdleDisk(dtype);
  ASSERT_OK_AND_ASSIGN(const RunReport report, DropLearned(*env));
  CHECK(OriginsLeft(*env) == "0235");
  CHECK(report.passes[0].metrics.at("error_found") < 0.05);
  ASSERT_OK_AND_ASSIGN(const ModelFolder before, ModelFolder::Open(*env, "/in", {}, IdleToys()));
  ASSERT_OK_AND_ASSIGN(const ModelFolder after, ModelFolder::Open(*env, "/out", {}, IdleToys()));
  ASSERT_OK_AND_ASSIGN(ModelView whole, before.BuildView());
  ASSERT_OK_AND_ASSIGN(ModelView left, after.BuildView());
  REQUIRE_OK(whole.LoadAll());
  REQUIRE_OK(left.LoadAll());
  for (const auto& [now, then] : std::vector<std::pair<int, int>>{{0, 0}, {1, 2}, {2, 3}, {3, 5}}) {
    const std::string path = absl::StrCat("toy.blocks.", now);
    for (const NamedTensor& named : left.BlockTensors(path)) {
      const std::string old = absl::StrCat("toy.blocks.", then, named.name.substr(path.size()));
      CHECK(named.tensor.equal(*whole.FindTensor(old)));
    }
  }
  ASSERT_OK_AND_ASSIGN(const std::string manifest, env->ReadFile("/out/wanlite.json"));
  CHECK_THAT(manifest, Catch::Contains("by output error") && Catch::Contains("random 1") &&
                           Catch::Contains("stays with probability"));
}

TEST_CASE("learning that is killed goes on to the same decision") {
  const std::unique_ptr<Env> whole = IdleDisk();
  REQUIRE_OK(DropLearned(*whole));
  const auto want = FilesOf(*whole, "/out");
  int64_t kill = 0;
  for (;; kill += 7) {
    const std::unique_ptr<Env> env = IdleDisk();
    if (DropLearned(*NewFaultEnv(*env, kill)).ok()) break;
    INFO("killed at write " << kill);
    REQUIRE_OK(DropLearned(*env));
    CHECK(FilesOf(*env, "/out") == want);
  }
  CHECK(kill > 60);
}

}  // namespace
}  // namespace wanlite
