// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// `wanlite doctor`, as a user runs it.
#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;

TEST_CASE("doctor ends with 0 for a sound model and with 11 for one with a fault, which it names") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  testing::Write(temp / "recipe.textproto", "passes { quantize_int8 {} }");
  RunWanliteJson({"compress", "--quiet", "--model", temp / "model", "--recipe",
                  temp / "recipe.textproto", "--out", temp / "small"});
  const auto doctor = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"doctor", "--quiet", "--original", temp / "model"});
    return RunWanlite(more);
  };
  const Outcome sound = doctor({"--compressed", temp / "small"});
  INFO(sound.out << sound.err);
  CHECK(sound.code == 0);
  CHECK(absl::StrContains(sound.out, "HEALTHY"));
  CHECK(absl::StrContains(sound.out, "transformer_2.blocks.1"));

  ASSERT_OK_AND_ASSIGN(
      const ModelFolder folder,
      ModelFolder::Open(PosixEnv(), temp / "small", OpenOptions(), BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  const std::string layer = "transformer_2.blocks.1.self_attn.v";
  ASSERT_OK_AND_ASSIGN(at::Tensor scale, view.FindTensor(layer + ".weight_scale"));
  {
    const at::NoGradGuard no_grad;
    scale.mul_(100);
  }
  REQUIRE_OK(SaveCheckpoint(PosixEnv(), temp / "broken", view, &folder));
  const Outcome broken = doctor({"--compressed", temp / "broken"});
  INFO(broken.out << broken.err);
  CHECK(broken.code == 11);
  CHECK(absl::StrContains(broken.out, "FIRST OUT OF ITS BAND: " + layer));
  CHECK(broken.err.empty());

  const Outcome json = doctor({"--compressed", temp / "broken", "--json"});
  CHECK(json.code == 11);
  const auto parsed = nlohmann::json::parse(json.out, nullptr, false);
  REQUIRE(parsed.is_object());
  CHECK(parsed["findings"][0]["path"] == layer);

  // The fault is in the other expert.
  const Outcome other = doctor({"--compressed", temp / "broken", "--component", "transformer",
                                "--component", "text_encoder"});
  INFO(other.out << other.err);
  CHECK(other.code == 0);
  const Outcome alone = doctor({"--compressed", temp / "broken", "--component", "transformer"});
  CHECK(alone.code == 3);
  CHECK(absl::StrContains(alone.err, "--component text_encoder"));
  CHECK(doctor({"--compressed", temp / "broken", "--component", "nobody"}).code == 4);
  CHECK(doctor({"--compressed", temp / "nowhere"}).code == 4);
  CHECK(doctor({}).code == 2);
}

TEST_CASE("doctor on recorded inputs") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  RunWanliteJson({"record", "--quiet", "--model", temp / "model", "--steps", "3", "--frames", "1",
                  "--prompt", "a digit", "--out", temp / "samples"});
  const Outcome outcome =
      RunWanlite({"doctor", "--quiet", "--original", temp / "model", "--compressed", temp / "model",
                  "--samples", temp / "samples"});
  INFO(outcome.out << outcome.err);
  CHECK(outcome.code == 0);
  CHECK(absl::StrContains(outcome.out, "recorded pass"));
}

}  // namespace
}  // namespace wanlite
