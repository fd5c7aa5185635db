// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/sensitivity_scan.h"

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

TEST_CASE("a scan is read as it was written, and a wrong one names what is wrong") {
  const auto env = NewMemEnv();
  SensitivityScan scan;
  scan.pass = "quantize-auto";
  scan.samples = "abc";
  scan.components["t"] = {"sha", {0, 2, 5}};
  scan.items["t.up"] = {24, {{"int8 { }", {0.1 + 0.2, 1e-9, 3}}}, {{"dense", 1.5e-5}}};
  scan.items["t.down"] = {24, {}, {}};
  REQUIRE_OK(WriteScan(*env, "/a/b/scan.json", scan));
  ASSERT_OK_AND_ASSIGN(const SensitivityScan read, ReadScan(*env, "/a/b/scan.json"));
  CHECK(read.samples == "abc");
  CHECK(read.components.at("t").passes == std::vector<int64_t>{0, 2, 5});
  CHECK(read.items.at("t.up").rows == 24);
  CHECK(read.items.at("t.up").scores.at("int8 { }").trajectory_error == 0.1 + 0.2);
  CHECK(read.items.at("t.up").seconds.at("dense") == 1.5e-5);
  CHECK(read.items.at("t.down").scores.empty());
  REQUIRE_OK(read.CheckSame(scan, "scan"));
  SensitivityScan other = scan;
  other.components["t"].weights_sha256 = "another";
  CHECK(absl::StrContains(read.CheckSame(other, "scan").message(), "scan: holds scores of t with"));
  other = scan;
  other.samples = "other";
  CHECK(absl::StrContains(read.CheckSame(other, "scan").message(), "other samples"));
  other = scan;
  other.pass = "prune-auto";
  CHECK(absl::StrContains(read.CheckSame(other, "scan").message(), "scores of quantize-auto"));

  {
    // One run at a time, which clears away what a killed one left.
    REQUIRE_OK(env->WriteFileAtomically("/a/b/scan.json.0123456789abcdef.tmp", "half"));
    {
      ASSERT_OK_AND_ASSIGN(const auto lock, ScanLock::Take(*env, "/a/b/scan.json"));
      CHECK(absl::IsUnavailable(ScanLock::Take(*env, "/a/b/scan.json").status()));
    }
    CHECK(*env->ListFolder("/a/b") == std::vector<std::string>{"scan.json"});
  }

  const std::string text = *env->ReadFile("/a/b/scan.json");
  const std::pair<const char*, const char*> wrong[] = {
      {"\"format_version\": 2", "\"format_version\": 3"},
      {"\"rows\": 24", "\"rows\": -1"},
      {"\"local_error\": 3", "\"local_error\": \"x\""},
      {"\"samples\": \"abc\"", "\"sample\": \"abc\""},
      {"1.5e-05", "0"},
  };
  for (const auto& [from, to] : wrong) {
    std::string broken = text;
    INFO(from);
    REQUIRE(absl::StrContains(broken, from));
    broken.replace(broken.find(from), std::string(from).size(), to);
    REQUIRE_OK(env->WriteFileAtomically("/broken.json", broken));
    const absl::Status status = ReadScan(*env, "/broken.json").status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(absl::StartsWith(status.message(), "/broken.json"));
  }
  CHECK(absl::IsNotFound(ReadScan(*env, "/nothing.json").status()));
  // Of the version before this one: said so, and not read as something else.
  REQUIRE_OK(env->WriteFileAtomically(
      "/old.json", "{\"format_version\": 1, \"samples\": \"abc\", \"layers\": {}}"));
  CHECK(absl::StrContains(ReadScan(*env, "/old.json").status().message(), "earlier version"));
}

}  // namespace
}  // namespace wanlite
