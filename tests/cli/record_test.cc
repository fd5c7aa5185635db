// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// `wanlite record`, as a user runs it.
#include "absl/strings/match.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/env.h"
#include "wanlite/sample_set.h"

namespace wanlite {
namespace {

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;

TEST_CASE("record makes a sample set of prompts in a file, once") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  testing::Write(temp / "prompts.txt",
                 "\xEF\xBB\xBF"
                 "a red digit\n\na blue digit\r\n");
  const std::vector<std::string> arguments{"record",    "--quiet",
                                           "--model",   temp / "model",
                                           "--prompts", temp / "prompts.txt",
                                           "--steps",   "4",
                                           "--frames",  "1",
                                           "--seed",    "3",
                                           "--samples", "6",
                                           "--out",     temp / "samples"};
  const nlohmann::json made = RunWanliteJson(arguments);
  SampleSetOptions verify;
  verify.verify = true;
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(PosixEnv(), temp / "samples", verify));
  CHECK(made["fingerprint"] == set.fingerprint());
  CHECK(made["samples"]["text_encoder"] == 3);
  CHECK(made["samples"]["transformer"].get<int64_t>() +
            made["samples"]["transformer_2"].get<int64_t>() ==
        6);
  CHECK(set.info().prompts == std::vector<std::string>{"a red digit", "a blue digit"});
  CHECK(set.info().seed == 3);

  const Outcome again = RunWanlite(arguments);
  CHECK(again.code == 5);
  CHECK(absl::StrContains(again.err, "holds a sample set already"));
}

TEST_CASE("record makes samples with targets of captioned clips, and recover learns from them") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  REQUIRE_OK(PosixEnv().CreateFolders(temp / "clips"));
  RunWanliteJson({"generate", "--quiet", "--model", temp / "model", "--prompt", "a", "--steps", "1",
                  "--frames", "1", "--out", temp / "clips/one.png"});
  testing::Write(temp / "clips/one.txt", "a red digit");
  const std::vector<std::string> arguments{
      "record", "--quiet",   "--model", temp / "model", "--clips",        temp / "clips", "--seed",
      "3",      "--samples", "7",       "--out",        temp / "samples", "--frames",     "1"};
  const nlohmann::json made = RunWanliteJson(arguments);
  CHECK(made["samples"]["transformer"] == 4);
  CHECK(made["samples"]["transformer_2"] == 3);
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(PosixEnv(), temp / "samples"));
  CHECK(set.info().prompts == std::vector<std::string>{"a red digit"});
  CHECK(set.sample("transformer", 0).values.contains("target"));
  testing::Write(temp / "recover.textproto",
                 "passes { recover { method: MODEL teacher: NO_TEACHER loop { steps: 2 batch: 2 "
                 "learning_rate: 1e-3 } } }");
  const nlohmann::json report = RunWanliteJson({"compress", "--quiet", "--model", temp / "model",
                                                "--recipe", temp / "recover.textproto", "--samples",
                                                temp / "samples", "--out", temp / "out"});
  CHECK(report["passes"][0]["metrics"]["transformer.steps"] == 2);
  const Outcome both = RunWanlite({"record", "--quiet", "--model", temp / "model", "--clips",
                                   temp / "clips", "--prompt", "a", "--out", temp / "s"});
  CHECK(both.code == 3);
  CHECK(absl::StrContains(both.err, "have no place beside it"));
}

TEST_CASE("distill learns from a teacher and a text-video encoder, and its log becomes a page") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  RunWanliteJson({"record", "--quiet", "--model", temp / "model", "--steps", "4", "--prompt",
                  "a red digit 3 moves right", "--out", temp / "samples"});
  testing::Write(temp / "distill.textproto",
                 "passes { prune_magnitude { amount: 0.3 } }\n"
                 "passes { distill { terms { squared_error { } } terms { clip { } weight: 0.1 } "
                 "loop { steps: 3 batch: 2 learning_rate: 1e-3 } cache: true } }");
  std::vector<std::string> arguments = {"compress",  "--quiet",
                                        "--model",   temp / "model",
                                        "--recipe",  temp / "distill.textproto",
                                        "--samples", temp / "samples",
                                        "--out",     temp / "out"};
  const Outcome blind = RunWanlite(arguments);
  CHECK(blind.code == 5);
  CHECK(absl::StrContains(blind.err, "--clip"));
  arguments.insert(arguments.end(), {"--clip", "digits:examples/digits/clip"});
  const nlohmann::json report = RunWanliteJson(arguments);
  CHECK(report["passes"][1]["metrics"]["transformer_2.steps"] == 3);
  CHECK(absl::StrContains(report["passes"][1]["notes"].dump(), "Digits-CLIP"));
  const nlohmann::json page = RunWanliteJson(
      {"report-training", "--quiet", temp / "out.training", "--out", temp / "training.html"});
  CHECK(page["logs"].size() == 2);
  ASSERT_OK_AND_ASSIGN(const std::string html, PosixEnv().ReadFile(temp / "training.html"));
  CHECK(absl::StrContains(html, "squared_error"));
  CHECK(absl::StrContains(html, "transformer_2.jsonl"));
  const Outcome none =
      RunWanlite({"report-training", "--quiet", temp / "samples", "--out", temp / "none.html"});
  CHECK(absl::StrContains(none.err, "holds no log of a training"));
}

TEST_CASE("record refuses what it would not use, and folders that are not its own") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  const auto refused = [&](std::vector<std::string> more, int code, const std::string& said) {
    more.insert(more.begin(),
                {"record", "--quiet", "--model", temp / "model", "--steps", "2", "--frames", "1"});
    const Outcome outcome = RunWanlite(more);
    INFO(outcome.err);
    CHECK(outcome.code == code);
    CHECK(absl::StrContains(outcome.err, said));
  };
  refused({"--out", temp / "s", "--prompt-embeds", "x"}, 3, "--prompt-embeds");
  refused({"--out", temp / "s", "--samples", "1"}, 3, "samples is 1");
  refused({"--out", temp / "model", "--prompt", "a"}, 5, "wants a folder of its own");
  refused({"--prompt", "a"}, 2, "--out");
  CHECK_FALSE(PosixEnv().FolderExists(temp / "s"));
}

TEST_CASE("compress reads all of the samples it is given before it begins") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  testing::Write(temp / "recipe.textproto", "passes { quantize_int8 {} }");
  RunWanliteJson({"record", "--quiet", "--model", temp / "model", "--steps", "2", "--frames", "1",
                  "--prompt", "a", "--out", temp / "samples"});
  const auto compress = [&](const std::string& samples) {
    return RunWanlite({"compress", "--quiet", "--model", temp / "model", "--recipe",
                       temp / "recipe.textproto", "--samples", samples, "--out", temp / "out"});
  };
  const Outcome none = compress(temp / "model");
  CHECK(none.code == 4);
  CHECK(absl::StrContains(none.err, "is no sample set"));
  const std::string file = temp / "samples/text.safetensors";
  ASSERT_OK_AND_ASSIGN(const std::string good, PosixEnv().ReadFile(file));
  std::string bad = good;
  bad.back() ^= 1;
  REQUIRE_OK(PosixEnv().WriteFileAtomically(file, bad));
  const Outcome damaged = compress(temp / "samples");
  CHECK(damaged.code == 10);
  CHECK(absl::StrContains(damaged.err, "text.safetensors: was changed"));
  CHECK_FALSE(PosixEnv().FolderExists(temp / "out"));
  REQUIRE_OK(PosixEnv().WriteFileAtomically(file, good));
  CHECK(compress(temp / "samples").code == 0);
}

}  // namespace
}  // namespace wanlite
