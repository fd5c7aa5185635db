// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/visit_blocks.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/architecture.h"
#include "wanlite/block_program.h"
#include "wanlite/checkpoint.h"
#include "wanlite/sample_set.h"

namespace wanlite {
namespace {

// Sums of squares of what goes into each linear layer.
struct InputEnergy : LinearTap {
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    sums[linear.path] += x.to(at::kDouble).square().sum().item<double>();
  }
  std::map<std::string, double> sums;
};

struct VisitSetUp {
  std::unique_ptr<Env> env = NewMemEnv();
  std::vector<Values> inputs;

  VisitSetUp() {
    testing::TinyWanOptions options;
    options.layers = 3;
    REQUIRE_OK(testing::WriteTinyWan(*env, "/model", options));
    at::Generator generator = at::detail::createCPUGenerator(3);
    for (int64_t i = 0; i < 3; ++i) {
      inputs.push_back({{"hidden_states", at::randn({1, 4, 1 + i, 4, 6}, generator)},
                        {"timestep", at::full({1}, 640 - i, at::kLong)},
                        {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
    }
    testing::WriteSampleSet(*env, "/samples", "transformer", inputs);
  }

  ModelView View() const {
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
    ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
    return view;
  }
  SampleSet Samples() const {
    ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
    return set;
  }
  static PassContext Context(Env& on, const SampleSet& samples) {
    PassContext context;
    context.env = &on;
    context.samples = &samples;
    context.scratch = "/scratch";
    return context;
  }
};

TEST_CASE("visited blocks show what the whole model puts into its layers, but for the head") {
  const VisitSetUp setup;
  ModelView whole = setup.View();
  REQUIRE_OK(whole.LoadAll());
  InputEnergy wanted;
  {
    const at::NoGradGuard no_grad;
    std::vector<TapGuard> taps;
    for (const BlockInfo& block : whole.blocks()) {
      ASSERT_OK_AND_ASSIGN(TapGuard tap, TapLinears(whole, block.path, wanted));
      taps.push_back(std::move(tap));
    }
    for (const Values& inputs : setup.inputs) {
      ProgramOf(*whole.FindComponent("transformer"))->Run(inputs);
    }
  }
  CHECK(wanted.sums.erase("transformer.head.head") == 1);

  ModelView view = setup.View();
  REQUIRE(view.streaming());
  const SampleSet samples = setup.Samples();
  InputEnergy seen;
  std::vector<std::string> visited;
  REQUIRE_OK(VisitBlocks(
      view, VisitSetUp::Context(*setup.env, samples), seen, [&](const BlockLease& lease) {
        visited.push_back(lease.block());
        // What went into the block has been seen, and its values are there.
        for (const LinearInfo& linear : view.linears()) {
          if (linear.block != lease.block() || linear.path == "transformer.head.head") continue;
          CHECK(seen.sums.count(linear.path) == 1);
          ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
          CHECK(weight->NonZero() > 0);
        }
        return absl::OkStatus();
      }));
  CHECK(visited == std::vector<std::string>{"transformer", "transformer.blocks.0",
                                            "transformer.blocks.1", "transformer.blocks.2"});
  CHECK(seen.sums == wanted.sums);
  CHECK_FALSE(setup.env->FolderExists("/scratch/visit-transformer"));
}

TEST_CASE("a visit that was killed begins anew") {
  const VisitSetUp setup;
  const SampleSet samples = setup.Samples();
  const auto visit = [&](Env& env, InputEnergy& seen) {
    ModelView view = setup.View();
    return VisitBlocks(view, VisitSetUp::Context(env, samples), seen,
                       [](const BlockLease&) { return absl::OkStatus(); });
  };
  InputEnergy wanted;
  REQUIRE_OK(visit(*setup.env, wanted));
  for (int64_t at = 0;; ++at) {
    CAPTURE(at);
    const auto dying = NewFaultEnv(*setup.env, at);
    InputEnergy broken, seen;
    if (visit(*dying, broken).ok()) {
      CHECK(at > 3);
      break;
    }
    REQUIRE_OK(visit(*setup.env, seen));
    REQUIRE(seen.sums == wanted.sums);
  }
}

TEST_CASE("a visit says what it lacks, and ends with what ends it") {
  const VisitSetUp setup;
  const SampleSet samples = setup.Samples();
  ModelView view = setup.View();
  InputEnergy seen;
  const auto visit = [&](const PassContext& context) {
    return VisitBlocks(view, context, seen,
                       [](const BlockLease&) { return absl::OutOfRangeError("enough"); });
  };
  PassContext context = VisitSetUp::Context(*setup.env, samples);
  CHECK(visit(context).code() == absl::StatusCode::kOutOfRange);
  CancellationToken cancel;
  cancel.Cancel();
  context.cancel = &cancel;
  CHECK(visit(context).code() == absl::StatusCode::kCancelled);
  context.cancel = nullptr;
  context.scratch.clear();
  CHECK(visit(context).code() == absl::StatusCode::kFailedPrecondition);
  context = VisitSetUp::Context(*setup.env, samples);
  context.samples = nullptr;
  CHECK(visit(context).code() == absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace wanlite
