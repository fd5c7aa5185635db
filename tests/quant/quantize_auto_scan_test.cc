// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto_scan.h"

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "src/quant/quantize_auto_report.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

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

}  // namespace
}  // namespace wanlite
