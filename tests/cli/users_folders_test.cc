// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;
using testing::Write;

TEST_CASE("Control characters of files never reach the terminal") {
  const TempFolder temp;
  // The escape sequences of 7 and of 8 bits, and the one that sets a window's title.
  Write(temp / "config.json",
        R"({"_class_name": "WanModel", "model_type": "\u001b[31m\u009b31m\u001b]0;x\u0007"})");
  const Outcome refused = RunWanlite({"inspect", "--model", temp / "config.json"});
  CHECK(refused.code == 7);
  CHECK(absl::StrContains(refused.err, "\\x1b[31m"));
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  Write(temp / "model/transformer/config.json",
        Json{{"_class_name", "WanTransformer3DModel"}, {"\x1b[2J\xC2\x9B", 1}}.dump());
  const Outcome failed = RunWanlite({"inspect", "--model", temp / "model"});
  for (const std::string& text : {refused.err, refused.out, failed.err, failed.out}) {
    INFO(text);
    CHECK(std::none_of(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
    }));
    CHECK_FALSE(absl::StrContains(text, "\xC2\x9B"));
  }

  // As JSON too, which would let those of 8 bits pass.
  const std::string named = temp /
                            "a\xC2\x9B"
                            "31m\x7F";
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), named));
  const Outcome json = RunWanlite({"inspect", "--json", "--model", named});
  CHECK(json.code == 0);
  CHECK_FALSE(absl::StrContains(json.out, "\xC2\x9B"));
  CHECK_FALSE(absl::StrContains(json.out, "\x7F"));
  CHECK(absl::StrContains(Json::parse(json.out).dump(), "\xC2\x9B"));
}

TEST_CASE("inspect --verify says what it compared, and claims nothing of what has no hash") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  const Outcome foreign = RunWanlite({"inspect", "--model", temp / "model", "--verify"});
  CHECK(foreign.code == 0);
  CHECK(absl::StrContains(foreign.out, "verified: nothing"));
  CHECK(RunWanlite(
            {"convert", "--model", temp / "model", "--layout", "wanlite", "--out", temp / "own"})
            .code == 0);
  Write(temp / "own/extra.txt", "x");
  const Json own = RunWanliteJson({"inspect", "--model", temp / "own", "--verify"});
  CHECK(own["verified"].size() > 10);
  CHECK(own["unverified"] == Json::array({"extra.txt"}));
  Write(temp / "own/tokenizer/spiece.model", "other");
  CHECK(RunWanlite({"inspect", "--model", temp / "own", "--verify"}).code != 0);
}

TEST_CASE("convert and inspect say what was passed over and what an export lacks") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  Write(temp / "model/lora.safetensors", "no header");
  const Json inspect = RunWanliteJson({"inspect", "--model", temp / "model"});
  REQUIRE(inspect["notes"].size() == 1);
  CHECK(absl::StrContains(inspect["notes"][0].get<std::string>(), "lora.safetensors"));
  const Outcome convert = RunWanlite(
      {"convert", "--model", temp / "model", "--layout", "original", "--out", temp / "original"});
  CHECK(convert.code == 0);
  CHECK(absl::StrContains(convert.err, "note: "));
  CHECK(absl::StrContains(convert.err, "lora.safetensors"));
  CHECK(absl::StrContains(convert.err, "Wan's own programs"));
}

}  // namespace
}  // namespace wanlite
