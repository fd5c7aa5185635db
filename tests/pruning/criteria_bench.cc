// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How well each criterion's order of units predicts what the output loses without each of them. For
// docs/pruning.md: WANLITE_BENCH_MODEL=DIR WANLITE_BENCH_SAMPLES=DIR wanlite_pruning_test
// "[.criteria]"
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/core/libtorch.h"
#include "src/core/stopwatch.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/unit_scores.h"
#include "tests/testing/catch.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/sample_set.h"

namespace wanlite {
namespace {

struct Order {
  std::string name;
  UnitCriterion criterion;
};

std::vector<Order> Orders() {
  std::vector<Order> orders;
  const auto add = [&](const std::string& name, UnitCriterion::Score score, int64_t samples = 0,
                       UnitCriterion::Over over = UnitCriterion::MEAN) {
    Order& order = orders.emplace_back();
    order.name = name;
    order.criterion.set_score(score);
    order.criterion.set_over(over);
    if (samples > 0) order.criterion.set_samples(samples);
    REQUIRE_OK(ResolveCriterion(order.criterion, "criterion"));
  };
  add("RANDOM", UnitCriterion::RANDOM);
  add("L1", UnitCriterion::L1);
  add("L2", UnitCriterion::L2);
  add("ACTIVATION", UnitCriterion::ACTIVATION);
  add("ACTIVATION, WORST", UnitCriterion::ACTIVATION, 0, UnitCriterion::WORST);
  for (const int64_t samples : {8, 32}) {
    add(absl::StrCat("TAYLOR, ", samples), UnitCriterion::TAYLOR, samples);
    add(absl::StrCat("TAYLOR, ", samples, ", WORST"), UnitCriterion::TAYLOR, samples,
        UnitCriterion::WORST);
    add(absl::StrCat("OBD, ", samples), UnitCriterion::OBD, samples);
  }
  add("OUTPUT_ERROR, 8", UnitCriterion::OUTPUT_ERROR, 8);
  add("OUTPUT_ERROR, 8, WORST", UnitCriterion::OUTPUT_ERROR, 8, UnitCriterion::WORST);
  return orders;
}

// Spearman's: the correlation of ranks.
double RankCorrelation(const at::Tensor& a, const at::Tensor& b) {
  const auto ranks = [](const at::Tensor& x) {
    const at::Tensor ranks = x.argsort().argsort().to(at::kDouble);
    return ranks - ranks.mean();
  };
  const at::Tensor ra = ranks(a), rb = ranks(b);
  return (ra.dot(rb) / (ra.norm() * rb.norm())).item<double>();
}

TEST_CASE("how criteria order units, beside what the output loses without each", "[.criteria]") {
  const char* model = std::getenv("WANLITE_BENCH_MODEL");
  const char* recorded = std::getenv("WANLITE_BENCH_SAMPLES");
  REQUIRE(model != nullptr);
  REQUIRE(recorded != nullptr);
  Env& env = PosixEnv();
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(env, model, {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(const SampleSet samples, SampleSet::Open(env, recorded));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  PassContext context;
  context.samples = &samples;
  for (const std::string component : {"transformer", "transformer_2"}) {
    for (const std::string kind : {"ffn.channels", "attn.heads"}) {
      std::vector<AxisGroup> groups;
      for (const AxisGroup& group : view.groups()) {
        if (view.ComponentOf(group.name).name != component || !absl::EndsWith(group.kind, kind)) {
          continue;
        }
        // Of the wide groups one in the middle.
        if (kind == "ffn.channels" && !absl::StrContains(group.name, ".blocks.2.")) continue;
        groups.push_back(group);
      }
      const auto units_of = [&](const std::map<std::string, UnitScores>& scores) {
        std::vector<at::Tensor> costs;
        for (const AxisGroup& group : groups) costs.push_back(scores.at(group.name).cost);
        return at::cat(costs);
      };
      UnitCriterion truth;
      truth.set_score(UnitCriterion::OUTPUT_ERROR);
      truth.set_samples(16);
      ASSERT_OK_AND_ASSIGN(const auto measured, ScoreUnits(view, groups, truth, context));
      truth.set_over(UnitCriterion::WORST);
      ASSERT_OK_AND_ASSIGN(const auto measured_worst, ScoreUnits(view, groups, truth, context));
      const at::Tensor wanted = units_of(measured), wanted_worst = units_of(measured_worst);
      std::printf("%s %s, %d groups, %d units; mean against worst %.3f\n", component.c_str(),
                  kind.c_str(), static_cast<int>(groups.size()), static_cast<int>(wanted.numel()),
                  RankCorrelation(wanted, wanted_worst));
      const int64_t half = wanted.numel() / 2;
      const double least = std::get<0>(wanted.sort()).slice(0, 0, half).sum().item<double>();
      for (const Order& order : Orders()) {
        const Stopwatch watch;
        ASSERT_OK_AND_ASSIGN(const auto scores, ScoreUnits(view, groups, order.criterion, context));
        const at::Tensor found = units_of(scores);
        // What the half of least cost adds up to, against the best half.
        const double chosen =
            wanted.index_select(0, found.argsort().slice(0, 0, half)).sum().item<double>();
        std::printf("  %-24s mean %6.3f  worst %6.3f  half %6.2f  %6.2f s\n", order.name.c_str(),
                    RankCorrelation(found, wanted), RankCorrelation(found, wanted_worst),
                    chosen / least, watch.Seconds());
      }
    }
  }
}

}  // namespace
}  // namespace wanlite
