// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/runner/component_fit.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "src/model/wan/tokenizer_trainer.h"
#include "src/runner/generate_settings.h"
#include "src/runner/hollow_model.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/runner.h"

namespace wanlite {
namespace {

using nlohmann::json;

bool Mentions(const absl::Status& status, const std::string& text) {
  return absl::StrContains(std::string(status.message()), text);
}

void EditJson(Env& env, const std::string& path, const std::function<void(json&)>& edit) {
  ASSERT_OK_AND_ASSIGN(const std::string text, env.ReadFile(path));
  json value = json::parse(text);
  edit(value);
  REQUIRE_OK(env.WriteFileAtomically(path, value.dump()));
}

TEST_CASE("Networks of different models are told by the two numbers that differ") {
  struct Case {
    const char* file;
    const char* key;
    json value;
    std::vector<std::string> texts;
  };
  const Case cases[] = {
      {"vae", "z_dim", 6, {"latent channels of transformer are 4", "vae 6"}},
      {"text_encoder", "d_model", 32, {"text width of transformer is 16", "text_encoder 32"}},
      {"transformer_2", "text_dim", 12, {"text width of transformer_2 is 12", "16"}},
      {"transformer", "out_channels", 8, {"4", "8"}},
      {"transformer", "in_channels", 9, {"takes 9 channels and gives 4", "image"}},
  };
  for (const Case& one : cases) {
    INFO(one.file << "." << one.key);
    const auto env = NewMemEnv();
    testing::TinyWanOptions configs;
    configs.weights = false;
    REQUIRE_OK(testing::WriteTinyWan(*env, "tiny", configs));
    ASSERT_OK_AND_ASSIGN(const HollowModel whole,
                         OpenHollow(*env, "tiny", {}, BuiltinArchitectures()));
    REQUIRE_OK(CheckComponentsFit(whole.view));
    EditJson(*env, absl::StrCat("tiny/", one.file, "/config.json"), [&](json& config) {
      config[one.key] = one.value;
      if (std::string(one.key) == "z_dim") {
        config["latents_mean"] = std::vector<double>(6, 0.0);
        config["latents_std"] = std::vector<double>(6, 1.0);
      }
    });
    ASSERT_OK_AND_ASSIGN(const HollowModel mixed,
                         OpenHollow(*env, "tiny", {}, BuiltinArchitectures()));
    const absl::Status status = CheckComponentsFit(mixed.view);
    INFO(status.ToString());
    REQUIRE_FALSE(status.ok());
    for (const std::string& text : one.texts) CHECK(Mentions(status, text));
  }
}

TEST_CASE("A tokenizer with more pieces than the text encoder knows is refused before it is used") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  ASSERT_OK_AND_ASSIGN(const std::string large,
                       wan::TrainTokenizer({"a red digit moves right", "a blue digit moves left",
                                            "绿色的数字7向右移动", "白い数字の0が上へ動く"},
                                           {320, true}));
  REQUIRE_OK(env->WriteFileAtomically("tiny/tokenizer/spiece.model", large));
  ASSERT_OK_AND_ASSIGN(const auto runner, Runner::Open(*env, "tiny", BuiltinArchitectures(), {}));
  GenerateRequest request;
  request.prompt = "a red digit";
  const absl::Status status = runner->Generate(request).status();
  INFO(status.ToString());
  CHECK(absl::IsInvalidArgument(status));
  CHECK(Mentions(status, "128"));
  CHECK(Mentions(status, "pieces"));
}

TEST_CASE("A boundary that an index sets to nothing leaves all steps to the first expert") {
  const auto boundary_of = [](const std::string& index) {
    ASSERT_OK_AND_ASSIGN(const FolderDefaults defaults, ParseFolderDefaults(index, "", true));
    return defaults.settings.boundary_ratio;
  };
  CHECK(boundary_of("") == 0.875);
  CHECK(boundary_of("{}") == 0);
  CHECK(boundary_of(R"({"boundary_ratio": null})") == 0);
  CHECK(boundary_of(R"({"boundary_ratio": 0.0})") == 0);
  CHECK(boundary_of(R"({"boundary_ratio": 0.9})") == 0.9);
  for (const char* wrong : {R"({"boundary_ratio": 1.5})", R"({"boundary_ratio": -0.1})"}) {
    CHECK(Mentions(ParseFolderDefaults(wrong, "", true).status(), "boundary_ratio"));
  }
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  EditJson(*env, "tiny/model_index.json", [](json& index) { index["boundary_ratio"] = nullptr; });
  ASSERT_OK_AND_ASSIGN(const auto runner, Runner::Open(*env, "tiny", BuiltinArchitectures(), {}));
  GenerateRequest request;
  request.prompt = "a red digit";
  request.decode = false;
  ASSERT_OK_AND_ASSIGN(const GenerateResult result, runner->Generate(request));
  CHECK(result.calls.count("transformer_2") == 0);
}

TEST_CASE("A component that was left out says why when it is needed") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  EditJson(*env, "tiny/vae/config.json", [](json& config) { config["is_residual"] = true; });
  ASSERT_OK_AND_ASSIGN(const auto runner, Runner::Open(*env, "tiny", BuiltinArchitectures(), {}));
  GenerateRequest request;
  request.prompt = "a red digit";
  const absl::Status status = runner->Prepare(request);
  CHECK(absl::IsUnimplemented(status));
  CHECK(Mentions(status, "is_residual"));
}

TEST_CASE("A config given for the transformers leaves the other networks theirs") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "tiny"));
  REQUIRE_OK(env->Rename("tiny/transformer/config.json", "dit.json"));
  REQUIRE_OK(env->RemoveFile("tiny/transformer_2/config.json"));
  RunnerOptions options;
  options.config_path = "dit.json";
  ASSERT_OK_AND_ASSIGN(const auto runner,
                       Runner::Open(*env, "tiny", BuiltinArchitectures(), options));
  GenerateRequest request;
  request.prompt = "a red digit";
  REQUIRE_OK(runner->Prepare(request));
}

}  // namespace
}  // namespace wanlite
