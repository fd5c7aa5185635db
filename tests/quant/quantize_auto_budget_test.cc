// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto_budget.h"

#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "src/quant/quantize_auto_report.h"
#include "src/quant/quantize_auto_scan.h"
#include "src/quant/quantize_auto_trials.h"
#include "tests/testing/catch.h"
#include "tests/testing/sample_sets.h"

namespace wanlite {
namespace {

// Raw bits of a generator are the same everywhere.
struct Dice {
  std::mt19937_64 bits;
  double Uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  int64_t Below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
};

LayerChoices RandomChoices(Dice& random, int layers, bool whole) {
  LayerChoices choices(static_cast<size_t>(layers));
  for (std::vector<FormatChoice>& layer : choices) {
    layer.resize(static_cast<size_t>(1 + random.Below(4)));
    for (FormatChoice& choice : layer) {
      choice.cost = whole ? static_cast<double>(8 * random.Below(200)) : random.Uniform();
      choice.squared_error = random.Uniform();
    }
  }
  return choices;
}

// Every allocation tried.
double LeastErrorByTrying(const LayerChoices& layers, double budget, size_t from = 0,
                          double cost = 0, double error = 0) {
  if (cost > budget) return std::numeric_limits<double>::infinity();
  if (from == layers.size()) return error;
  double least = std::numeric_limits<double>::infinity();
  for (const FormatChoice& choice : layers[from]) {
    least = std::min(least, LeastErrorByTrying(layers, budget, from + 1, cost + choice.cost,
                                               error + choice.squared_error));
  }
  return least;
}

TEST_CASE("the best allocation has the error that trying all of them finds") {
  Dice random{std::mt19937_64(1)};
  for (int round = 0; round < 60; ++round) {
    const bool whole = round % 2 == 0;
    const LayerChoices choices = RandomChoices(random, 6, whole);
    const double budget = LeastCost(choices) + random.Uniform() * (whole ? 2000 : 3);
    const std::optional<Allocation> best = BestAllocation(choices, budget);
    REQUIRE(best.has_value());
    CHECK(CostOf(choices, *best) <= budget);
    const double wanted = LeastErrorByTrying(choices, budget);
    // Costs that are no whole numbers are rounded up to a fifty thousandth.
    CHECK(SquaredErrorOf(choices, *best) >= wanted - 1e-12);
    CHECK(SquaredErrorOf(choices, *best) <= (whole ? wanted + 1e-12 : wanted * 1.02));
  }
}

TEST_CASE("a budget that is met by nothing, by one allocation, or by all") {
  const LayerChoices choices = {{{10, 0.0}, {4, 1.0}}, {{10, 0.0}, {3, 2.0}}};
  CHECK_FALSE(BestAllocation(choices, 6.9).has_value());
  CHECK_FALSE(RandomAllocation(choices, 6.9, 1).has_value());
  CHECK(BestAllocation(choices, 7) == Allocation{1, 1});
  CHECK(RandomAllocation(choices, 7, 1) == Allocation{1, 1});
  CHECK(BestAllocation(choices, 14) == Allocation{1, 0});
  CHECK(BestAllocation(choices, 1e9) == Allocation{0, 0});
  CHECK(BestAllocation({{{5, 1}}}, 5) == Allocation{0});
}

TEST_CASE("random allocations fill the budget, differ, and come out the same for a seed") {
  Dice random{std::mt19937_64(2)};
  const LayerChoices choices = RandomChoices(random, 40, /*whole=*/true);
  const double budget = LeastCost(choices) * 1.5;
  std::set<Allocation> seen;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const std::optional<Allocation> allocation = RandomAllocation(choices, budget, seed);
    REQUIRE(allocation.has_value());
    CHECK(CostOf(choices, *allocation) <= budget);
    CHECK(CostOf(choices, *allocation) > 0.95 * budget);
    CHECK(RandomAllocation(choices, budget, seed) == allocation);
    seen.insert(*allocation);
  }
  CHECK(seen.size() == 10);
}

TEST_CASE("a found allocation that is not better than chance is said to be so") {
  AutoLayer layer;
  layer.linear.path = "m.blocks.0.up";
  layer.formats = {0, 1};
  const std::vector<AutoLayer> layers(2, layer);
  const std::vector<std::string> names = {"as it is", "int8"}, keys = {"dense", "int8 { }"};
  AutoProblem problem;
  problem.choices = {{{100, 0}, {25, 0.04}}, {{100, 0}, {25, 0.01}}};
  problem.budget = 125;
  problem.whole_cost = 200;
  std::vector<MeasuredAllocation> measured = {{"found", {0, 1}, 0.3}, {"random 1", {1, 0}, 0.2}};
  const QuantizeScan scan;
  const AllocationReport report{layers, names, keys, scan, problem, measured, 1, 4, false};
  std::map<std::string, double> metrics;
  SetAllocationMetrics(report, metrics);
  CHECK(metrics.at("beats_random") == 0);
  CHECK(metrics.at("error_found") == 0.3);
  CHECK(metrics.at("layers_int8") == 1);
  CHECK(metrics.at("layers_as_it_is") == 1);
  const std::string text = absl::StrJoin(ExplainAllocation(report), "\n");
  INFO(text);
  CHECK(absl::StrContains(text, "NOT BETTER THAN CHANCE: found 0.3, random 1 0.2"));
  // What the first layer would lose, and what it would cost the second to be as it is.
  CHECK(absl::StrContains(text, "int8 would save 75 B, error 0 -> 0.2"));
  CHECK(absl::StrContains(text, "as it is would take 75 B, error 0.1 -> 0"));
  measured[0].error = 0.1;
  metrics.clear();
  SetAllocationMetrics(report, metrics);
  CHECK(metrics.at("beats_random") == 1);
  CHECK_FALSE(absl::StrContains(absl::StrJoin(ExplainAllocation(report), "\n"), "CHANCE"));
}

TEST_CASE("a scan is read as it was written, and a wrong one names what is wrong") {
  const auto env = NewMemEnv();
  QuantizeScan scan;
  scan.samples = "abc";
  scan.components["t"] = {"sha", {0, 2, 5}};
  scan.layers["t.up"] = {24, {{"int8 { }", {0.1 + 0.2, 1e-9, 3}}}, {{"dense", 1.5e-5}}};
  scan.layers["t.down"] = {24, {}, {}};
  REQUIRE_OK(WriteQuantizeScan(*env, "/a/b/scan.json", scan));
  ASSERT_OK_AND_ASSIGN(const QuantizeScan read, ReadQuantizeScan(*env, "/a/b/scan.json"));
  CHECK(read.samples == "abc");
  CHECK(read.components.at("t").passes == std::vector<int64_t>{0, 2, 5});
  CHECK(read.layers.at("t.up").rows == 24);
  CHECK(read.layers.at("t.up").scores.at("int8 { }").trajectory_error == 0.1 + 0.2);
  CHECK(read.layers.at("t.up").seconds.at("dense") == 1.5e-5);
  CHECK(read.layers.at("t.down").scores.empty());
  REQUIRE_OK(read.CheckSame(scan, "scan"));
  QuantizeScan other = scan;
  other.components["t"].weights_sha256 = "another";
  CHECK(absl::StrContains(read.CheckSame(other, "scan").message(), "scan: holds scores of t with"));
  other = scan;
  other.samples = "other";
  CHECK(absl::StrContains(read.CheckSame(other, "scan").message(), "other samples"));

  {
    // One run at a time, which clears away what a killed one left.
    REQUIRE_OK(env->WriteFileAtomically("/a/b/scan.json.0123456789abcdef.tmp", "half"));
    {
      ASSERT_OK_AND_ASSIGN(const auto lock, QuantizeScanLock::Take(*env, "/a/b/scan.json"));
      CHECK(absl::IsUnavailable(QuantizeScanLock::Take(*env, "/a/b/scan.json").status()));
    }
    CHECK(*env->ListFolder("/a/b") == std::vector<std::string>{"scan.json"});
  }

  const std::string text = *env->ReadFile("/a/b/scan.json");
  const std::pair<const char*, const char*> wrong[] = {
      {"\"format_version\": 1", "\"format_version\": 2"},
      {"\"rows\": 24", "\"rows\": -1"},
      {"\"weight_error\": 3", "\"weight_error\": \"x\""},
      {"\"samples\": \"abc\"", "\"sample\": \"abc\""},
      {"1.5e-05", "0"},
  };
  for (const auto& [from, to] : wrong) {
    std::string broken = text;
    INFO(from);
    REQUIRE(absl::StrContains(broken, from));
    broken.replace(broken.find(from), std::string(from).size(), to);
    REQUIRE_OK(env->WriteFileAtomically("/broken.json", broken));
    const absl::Status status = ReadQuantizeScan(*env, "/broken.json").status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(absl::StartsWith(status.message(), "/broken.json"));
  }
  CHECK(absl::IsNotFound(ReadQuantizeScan(*env, "/nothing.json").status()));
}

TEST_CASE("passes that score are those of one trajectory, spread over its steps") {
  const auto env = NewMemEnv();
  SampleSetInfo info;
  info.prompts = {"a digit", "another"};
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", info));
  REQUIRE_OK(writer->WriteFile("all", {{"x", at::zeros({1})}}));
  std::vector<SampleInfo> samples;
  const auto add = [&](int64_t prompt, const char* branch, int64_t step) {
    SampleInfo sample;
    sample.component = "t";
    sample.prompt = prompt;
    sample.branch = branch;
    sample.step = step;
    sample.values["input"] = "x";
    samples.push_back(sample);
  };
  add(0, "conditional", 0);                                                  // 0
  for (int64_t step = 0; step < 6; ++step) add(1, "conditional", 5 - step);  // 1 ... 6
  for (int64_t step = 0; step < 3; ++step) add(1, "negative", step);         // 7 ... 9
  REQUIRE_OK(writer->Finish(samples));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  CHECK(PickPasses(set, "t", 1) == std::vector<int64_t>{3});        // step 3
  CHECK(PickPasses(set, "t", 3) == std::vector<int64_t>{1, 3, 5});  // steps 5, 3, 1
  CHECK(PickPasses(set, "t", 6) == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  CHECK(PickPasses(set, "t", 7) == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 8});
  CHECK(PickPasses(set, "t", 100).size() == 10);
}

}  // namespace
}  // namespace wanlite
