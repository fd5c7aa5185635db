// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto_report.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

TEST_CASE("a found allocation that is not better than chance is said to be so") {
  AutoLayer layer;
  layer.linear.path = "m.blocks.0.up";
  layer.formats = {0, 1};
  const std::vector<AutoLayer> layers(2, layer);
  const std::vector<std::string> names = {"as it is", "int8"};
  AutoProblem problem;
  problem.choices = {{{100, 0}, {25, 0.04}}, {{100, 0}, {25, 0.01}}};
  problem.budget = 125;
  problem.whole_cost = 200;
  std::vector<LayerAllocation> measured = {{"found", {0, 1}, {0.3, 0.5, 960}},
                                           {"random 1", {1, 0}, {0.2, 0.4, 10}}};
  const AllocationReport report{layers, names, problem, measured, 1, 4, false};
  std::map<std::string, double> metrics;
  SetAllocationMetrics(report, metrics);
  CHECK(metrics.at("beats_random") == 0);
  CHECK(metrics.at("error_found") == 0.3);
  CHECK(metrics.at("layers_int8") == 1);
  CHECK(metrics.at("layers_as_it_is") == 1);
  const std::string text = absl::StrJoin(ExplainAllocation(report), "\n");
  INFO(text);
  CHECK(absl::StrContains(text, "NOT BETTER THAN CHANCE: found 0.3, random 1 0.2"));
  CHECK(absl::StrContains(text, "0.5 at t 960"));
  // What the first layer would lose, and what it would cost the second to be as it is.
  CHECK(absl::StrContains(text, "int8 would save 75 B, error 0 -> 0.2"));
  CHECK(absl::StrContains(text, "as it is would take 75 B, error 0.1 -> 0"));
  measured[0].error.trajectory = 0.1;
  metrics.clear();
  SetAllocationMetrics(report, metrics);
  CHECK(metrics.at("beats_random") == 1);
  CHECK_FALSE(absl::StrContains(absl::StrJoin(ExplainAllocation(report), "\n"), "CHANCE"));
}

}  // namespace
}  // namespace wanlite
