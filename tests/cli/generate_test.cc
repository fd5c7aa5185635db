// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// `wanlite generate`: what is refused before the work, and what is said about it.
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
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

// A tiny model in a folder of its own.
class TinyFolder {
 public:
  TinyFolder() { REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), model())); }
  std::string model() const { return temp_ / "model"; }
  std::string operator/(const std::string& name) const { return temp_ / name; }
  Outcome Generate(std::vector<std::string> more) const {
    more.insert(more.begin(), {"generate", "--quiet", "--model", model(), "--steps", "2"});
    return RunWanlite(more);
  }

 private:
  TempFolder temp_;
};

TEST_CASE("what a video file cannot be is refused before anything is generated or written") {
  const TinyFolder tiny;
  const auto refused = [&](std::vector<std::string> more, const std::string& said) {
    more.insert(more.begin(), {"--prompt", "a", "--save-latents", tiny / "latents.safetensors"});
    const Outcome outcome = tiny.Generate(more);
    INFO(outcome.err);
    CHECK(outcome.code == 3);
    CHECK(absl::StrContains(outcome.err, said));
    CHECK_FALSE(PosixEnv().FileExists(tiny / "latents.safetensors"));
  };
  refused({"--out", tiny / "a.png", "--fps", "0.004"}, ".png carries 0.01 to 240");
  refused({"--out", tiny / "a.webp", "--fps", "0"}, ".webp carries 0.01 to 240");
  refused({"--sheet", tiny / "a.webp"}, "a contact sheet is a .png");
  refused({"--out", tiny / "a.webp", "--width", "512", "--upscale", "32"}, "WebP takes at most");
  const std::string index = tiny.model() + "/model_index.json";
  ASSERT_OK_AND_ASSIGN(const std::string text, PosixEnv().ReadFile(index));
  REQUIRE(absl::StrContains(text, "\"fps\": 8"));
  REQUIRE_OK(PosixEnv().WriteFileAtomically(
      index, absl::StrReplaceAll(text, {{"\"fps\": 8", "\"fps\": 0"}})));
  refused({"--out", tiny / "a.png"}, "wanlite_defaults.fps is 0");
}

TEST_CASE("seeds of more than 64 bits are refused, not cut off") {
  const TinyFolder tiny;
  const auto refused = [](const std::vector<std::string>& arguments) {
    const Outcome outcome = RunWanlite(arguments);
    INFO(outcome.err);
    CHECK(outcome.code == 2);
    CHECK(absl::StrContains(outcome.err, "18446744073709551615"));
  };
  for (const char* seed : {"18446744073709551616", "0xFFFFFFFFFFFFFFFFF", "-1"}) {
    refused({"generate", "--model", "m", "--prompt", "a", "--out", "a.png", "--seed", seed});
  }
  const std::string seed = "99999999999999999999999";
  refused({"frechet", "--real", "a", "--generated", "b", "--seed", seed});
  refused({"evaluate", "--original", "a", "--set", "digits:c", "--set-seed", seed});
  const Json largest = RunWanliteJson({"generate", "--quiet", "--model", tiny.model(), "--steps",
                                       "1", "--prompt", "a", "--save-latents",
                                       tiny / "l.safetensors", "--seed", "18446744073709551615"});
  CHECK(largest["seed"].get<uint64_t>() == 18446744073709551615u);
}

TEST_CASE("a prompt that is cut is told, and a second guidance is not dropped") {
  const TinyFolder tiny;
  std::string prompt = "a red digit moves";
  for (int i = 0; i < 20; ++i) prompt += " right";
  const Outcome cut = tiny.Generate({"--prompt", prompt, "--out", tiny / "a.png"});
  INFO(cut.err);
  CHECK(cut.code == 0);
  CHECK(absl::StrContains(cut.err, "warning: the prompt is longer than the 16 tokens"));
  CHECK(absl::StrContains(cut.err, "right right'"));
  const Outcome fits = tiny.Generate({"--prompt", "a red digit", "--out", tiny / "a.png"});
  CHECK(fits.err.empty());
  const Outcome guidance = tiny.Generate(
      {"--prompt", "a", "--out", tiny / "a.png", "--guidance", "1", "--guidance-2", "3"});
  CHECK(guidance.code == 3);
  CHECK(absl::StrContains(guidance.err, "guidance 2 is 3"));
}

}  // namespace
}  // namespace wanlite
