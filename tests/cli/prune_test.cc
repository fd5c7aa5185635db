// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Pruned models as a user makes, exports and draws them.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
using testing::Write;

TEST_CASE("A model pruned block by block is exported when it is padded") {
  const TempFolder temp;
  testing::TinyWanOptions tiny;
  tiny.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model", tiny));
  // One block of the two, so that widths differ.
  Write(temp / "r.textproto",
        "passes { prune_ffn { amount: 0.5 units { include: '*.blocks.0.ffn.channels' } } }\n"
        "passes { prune_heads { keep: 1 units { include: '*.blocks.1.self_attn.heads' } } }\n");
  RunWanliteJson({"compress", "--model", temp / "model", "--recipe", temp / "r.textproto", "--out",
                  temp / "small"});
  const Outcome refused = RunWanlite({"convert", "--model", temp / "small", "--out", temp / "no"});
  CHECK(refused.code != 0);
  CHECK(absl::StrContains(refused.err, "wanlite_ffn_dims"));
  CHECK(absl::StrContains(refused.err, "--pad"));
  CHECK_FALSE(PosixEnv().FolderExists(temp / "no"));
  const nlohmann::json padded = RunWanliteJson({"convert", "--model", temp / "small", "--out",
                                                temp / "padded", "--pad", "--pad-multiple", "16"});
  CHECK(absl::StrContains(padded["notes"].dump(), "ffn.channels of 20 to 40 become 48"));
  CHECK(absl::StrContains(padded["notes"].dump(), "bytes more"));
  const nlohmann::json inspected = RunWanliteJson({"inspect", "--model", temp / "padded"});
  CHECK(inspected["layout"] == "diffusers");
  CHECK(RunWanlite(
            {"convert", "--model", temp / "small", "--out", temp / "no", "--pad-multiple", "16"})
            .code != 0);
}

TEST_CASE("Curves are drawn, and what is no file of curves is refused") {
  const TempFolder temp;
  Write(temp / "curves.json",
        R"({"version": 1, "settings": {"model": "m", "clips": 4, "threads": 1}, "machine": {},
            "original": {"reading": 0.9, "frechet_to_real": 40},
            "points": [{"variant": "one-shot", "amount": 0.3, "kept": 0.7, "reading": 0.8}]})");
  const nlohmann::json drawn =
      RunWanliteJson({"report-curves", temp / "curves.json", "--out", temp / "curves.html"});
  CHECK(drawn["points"] == 1);
  ASSERT_OK_AND_ASSIGN(const std::string page, PosixEnv().ReadFile(temp / "curves.html"));
  CHECK(absl::StrContains(page, "one-shot"));
  Write(temp / "other.json", "{}");
  const Outcome refused =
      RunWanlite({"report-curves", temp / "other.json", "--out", temp / "other.html"});
  CHECK(refused.code != 0);
  CHECK(absl::StrContains(refused.err, "version"));
  CHECK_FALSE(PosixEnv().FileExists(temp / "other.html"));
}

}  // namespace
}  // namespace wanlite
