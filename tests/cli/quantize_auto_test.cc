// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// A search of formats from the command line: record, plan, compress, inspect, generate.
#include "absl/strings/match.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;

TEST_CASE("a search of formats is planned, run, explained by inspect, and its model generates") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  testing::Write(
      temp / "recipe.textproto",
      "passes { quantize_auto { candidates { int8 { } } candidates { int4 { group: 8 } } "
      "budget { effective_bits: 10 } samples: 2 scan: \"" +
          temp / "scores/scan.json" + "\" } }");
  RunWanliteJson({"record", "--quiet", "--model", temp / "model", "--steps", "4", "--frames", "1",
                  "--prompt", "a digit", "--out", temp / "samples"});
  const nlohmann::json plan = RunWanliteJson(
      {"plan", "--quiet", "--model", temp / "model", "--recipe", temp / "recipe.textproto"});
  CHECK(plan["passes"][0]["estimated"] == true);
  const nlohmann::json run = RunWanliteJson({"compress", "--quiet", "--model", temp / "model",
                                             "--recipe", temp / "recipe.textproto", "--samples",
                                             temp / "samples", "--out", temp / "small"});
  CHECK(run["passes"][0]["metrics"]["error_found"].get<double>() > 0);
  CHECK(run["passes"][0]["notes"].size() > 40);  // a line for each of 40 layers
  CHECK(PosixEnv().FileExists(temp / "scores/scan.json"));
  const Outcome inspect = RunWanlite({"inspect", "--model", temp / "small"});
  INFO(inspect.out);
  CHECK(inspect.code == 0);
  CHECK(absl::StrContains(inspect.out, "random 1"));
  CHECK(absl::StrContains(inspect.out, "transformer_2.blocks.1.ffn.2"));
  CHECK(absl::StrContains(inspect.out, " error "));
  const Outcome generate = RunWanlite({"generate", "--quiet", "--model", temp / "small", "--prompt",
                                       "a digit", "--steps", "2", "--frames", "1", "--discard"});
  INFO(generate.err);
  CHECK(generate.code == 0);
}

}  // namespace
}  // namespace wanlite
