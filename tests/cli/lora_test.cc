// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// LoRA files on the command line: run with, loaded, exported, extracted.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::SeededUniform;
using testing::TempFolder;

TEST_CASE("a LoRA file is run with, loaded, exported and extracted") {
  const TempFolder temp;
  const std::string model = temp / "model", file = temp / "style.safetensors";
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), model));
  const std::string layer = "diffusion_model.blocks.0.self_attn.q.";
  REQUIRE_OK(WriteSafetensors(PosixEnv(), file,
                              {{layer + "lora_down.weight", SeededUniform("a", {2, 24})},
                               {layer + "lora_up.weight", SeededUniform("b", {24, 2})},
                               {layer + "alpha", at::scalar_tensor(4.0)}}));
  const auto generate = [&](const std::string& dir, std::vector<std::string> more) {
    const std::string latents = temp / "latents.safetensors";
    more.insert(more.begin(), {"generate", "--model", dir, "--steps", "2", "--prompt", "a digit",
                               "--save-latents", latents});
    const Outcome outcome = RunWanlite(more);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    ASSERT_OK_AND_ASSIGN(const auto source, OpenSafetensors(PosixEnv(), latents));
    ASSERT_OK_AND_ASSIGN(const at::Tensor values, source->Read("latents"));
    return std::make_pair(values.clone(), outcome.err);
  };
  const at::Tensor plain = generate(model, {}).first;
  const auto [styled, said] = generate(
      model, {"--lora", "transformer=" + file + ":0.5", "--lora", "transformer_2=" + file});
  CHECK_FALSE(at::equal(styled, plain));
  CHECK(
      absl::StrContains(said, "adapter style of strength 0.5 for transformer, 1 layer of rank 2"));

  testing::Write(temp / "load.textproto",
                 absl::StrCat("passes { load_lora { files { path: '", file,
                              "' component: 'transformer' strength: 0.5 } files { path: '", file,
                              "' component: 'transformer_2' adapter: 'low' } } }"));
  testing::Write(temp / "merge.textproto", "passes { merge_lora { } }");
  const auto compress = [&](const std::string& from, const std::string& recipe,
                            const std::string& to) {
    const Outcome outcome =
        RunWanlite({"compress", "--quiet", "--model", from, "--recipe", recipe, "--out", to});
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
  };
  compress(model, temp / "load.textproto", temp / "adapted");
  CHECK(at::equal(generate(temp / "adapted", {}).first, styled));
  compress(temp / "adapted", temp / "merge.textproto", temp / "merged");
  CHECK(testing::RelativeL2(generate(temp / "merged", {}).first, styled) < 1e-4);

  CHECK(RunWanliteJson({"export-lora", "--model", temp / "adapted", "--component", "transformer",
                        "--naming", "kohya", "--out", temp / "high.safetensors"})["layers"] == 1);
  CHECK(RunWanliteJson({"export-lora", "--model", temp / "adapted", "--component", "transformer_2",
                        "--out", temp / "low.safetensors"})["layers"] == 1);
  CHECK(at::equal(
      generate(model, {"--lora", temp / "high.safetensors", "--lora", temp / "low.safetensors"})
          .first,
      styled));
  for (const char* component : {"transformer", "transformer_2"}) {
    const auto report = RunWanliteJson(
        {"extract-lora", "--original", model, "--tuned", temp / "merged", "--component", component,
         "--rank", "4", "--dtype", "fp32", "--out", temp / component + ".safetensors"});
    CHECK(report["layers"] == 1);
    CHECK(report["error"].get<double>() < 1e-4);
  }
  CHECK(testing::RelativeL2(generate(model, {"--lora", temp / "transformer.safetensors", "--lora",
                                             temp / "transformer_2.safetensors"})
                                .first,
                            styled) < 1e-3);

  const auto refused = [&](const std::string& lora, int code, const std::string& what) {
    const Outcome outcome =
        RunWanlite({"generate", "--quiet", "--model", model, "--prompt", "a", "--save-latents",
                    temp / "none.safetensors", "--lora", lora});
    INFO(outcome.err);
    CHECK(outcome.code == code);
    CHECK(absl::StrContains(outcome.err, what));
    CHECK_FALSE(PosixEnv().FileExists(temp / "none.safetensors"));
  };
  refused(file, 3, "which of transformer, transformer_2");
  refused(file + ":much", 3, "'much' after the last colon");
  refused(temp / "absent.safetensors", 4, "absent.safetensors");
  refused("vae=" + file, 3, "\"vae\" fits none");
}

}  // namespace
}  // namespace wanlite
