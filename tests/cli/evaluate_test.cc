// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// `wanlite evaluate` of models: sets, folders of checkpoints, the report, and what it refuses.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/env.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;
using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;

constexpr char kModel[] = "examples/digits/model";
constexpr char kSet[] = "digits:examples/digits";

void Compress(const std::string& recipe, const std::string& out) {
  const Outcome outcome = RunWanlite({"compress", "--quiet", "--model", kModel, "--recipe",
                                      "examples/recipes/" + recipe + ".textproto", "--out", out});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
}

TEST_CASE("a folder of checkpoints is evaluated over a set, as numbers and as one page") {
  const TempFolder temp;
  Compress("digits_int8", temp / "checkpoints/int8");
  Compress("digits_prune30", temp / "checkpoints/prune30");
  const Json json = RunWanliteJson(
      {"evaluate", "--quiet", "--original", kModel, "--compressed", temp / "checkpoints", "--set",
       kSet, "--set-clips", "3", "--steps", "4", "--repeats", "1", "--no-memory", "--extractor",
       "digits:examples/digits/classifier", "--report", temp / "report.html"});
  REQUIRE(json["candidates"].size() == 2);
  CHECK(json["candidates"][0]["model"]["name"] == "int8");
  CHECK(json["candidates"][1]["model"]["name"] == "prune30");
  CHECK(json["compressed"] == json["candidates"][0]["model"]);
  CHECK(json["set"]["extractors"][0]["name"] == "FD-Digits");
  CHECK(json["set"]["extractors"][0]["warning"].get<std::string>().find("only 3 clips") !=
        std::string::npos);
  CHECK(json["set"]["real"]["languages"]["all"]["clips"] == 3);
  for (const Json& candidate : json["candidates"]) {
    const Json& distance = candidate["quality"]["distances"]["FD-Digits"];
    const double delta =
        distance["to_real"]["frechet"].get<double>() -
        json["set"]["original"]["distances"]["FD-Digits"]["to_real"]["frechet"].get<double>();
    CHECK(distance["delta"].get<double>() == Approx(delta).margin(1e-9));
    CHECK(distance["delta_interval"][0].get<double>() <= distance["delta"].get<double>());
    CHECK(distance["delta_interval"][1].get<double>() >= distance["delta"].get<double>());
    CHECK(candidate["paired"]["velocity"].size() == 4);
    for (const Json& step : candidate["paired"]["velocity"]) {
      CHECK(step["cosine"].get<double>() > 0.8);
      CHECK(step["cosine"].get<double>() < 1.0);
    }
    CHECK(candidate["quality"]["languages"].size() == 4);
    CHECK_FALSE(candidate["model"]["lineage"].empty());
  }
  // Pruning 30 % leaves larger errors than rounding to 8 bits.
  CHECK(json["candidates"][0]["paired"]["latent_mse"].get<double>() <
        json["candidates"][1]["paired"]["latent_mse"].get<double>());
  const Json& layer = json["candidates"][1]["model"]["layers"];
  CHECK(std::any_of(layer.begin(), layer.end(), [](const Json& one) {
    return std::abs(one["nonzero"].get<double>() - 0.7) < 0.02 &&
           one["relative_error"].get<double>() > 0;
  }));
  ASSERT_OK_AND_ASSIGN(const std::string html, PosixEnv().ReadFile(temp / "report.html"));
  CHECK(absl::StrContains(html, "<svg"));
  CHECK(absl::StrContains(html, "prune30"));
  CHECK_FALSE(absl::StrContains(html, "<script"));
}

TEST_CASE("a model against itself is identical, its velocities too") {
  const Json json = RunWanliteJson({"evaluate", "--quiet", "--original", kModel, "--compressed",
                                    kModel, "--steps", "2", "--repeats", "1", "--prompt",
                                    "a red digit 3 moves left", "--no-memory"});
  CHECK(json["paired"]["identical"] == true);
  CHECK(json["paired"]["latent_mse"] == 0);
  CHECK(json["paired"]["psnr_db"] == 100);
  for (const Json& step : json["paired"]["velocity"]) {
    CHECK(step["relative_error"] == 0);
    CHECK(step["cosine"].get<double>() == Approx(1).epsilon(1e-12));
  }
}

TEST_CASE("an original alone is measured against real clips and their floor, once for many runs") {
  const TempFolder temp;
  const auto evaluate = [&] {
    return RunWanliteJson({"evaluate", "--quiet", "--original", kModel, "--set", kSet,
                           "--set-clips", "4", "--steps", "2", "--repeats", "1", "--no-memory",
                           "--extractor", "digits:examples/digits/classifier", "--report",
                           temp / "report.html", "--cache", temp / "cache"});
  };
  const Json first = evaluate();
  CHECK(first["candidates"].empty());
  CHECK(first["compressed"].is_null());
  CHECK(first["paired"].is_null());
  const Json& distance = first["set"]["original"]["distances"]["FD-Digits"];
  const double floor = first["set"]["extractors"][0]["floor"]["frechet"].get<double>();
  CHECK(floor > 0);
  CHECK(distance["over_floor"].get<double>() ==
        Approx(distance["to_real"]["frechet"].get<double>() / floor));
  CHECK(first["set"]["original"]["languages"]["all"]["digit_consistency"].is_number());
  CHECK(first["set"]["real"]["languages"]["English"]["digit_consistency"].is_number());
  CHECK(first["original"]["latency_s"]["runs"] == 4);
  CHECK(PosixEnv().FileExists(temp / "report.html"));

  // What was kept is not made again: only the run that is timed is.
  const Json second = evaluate();
  CHECK(second["original"]["latency_s"]["runs"] == 1);
  CHECK(second["set"] == first["set"]);
}

// The file of features in a cache, by the path of its folder.
std::map<std::string, FileStamp> KeptFeatures(const std::string& cache) {
  std::map<std::string, FileStamp> kept;
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> folders, PosixEnv().ListFolder(cache));
  for (const std::string& folder : folders) {
    const std::string path = JoinPath(JoinPath(cache, folder), "features.safetensors");
    if (PosixEnv().FileExists(path)) kept[folder] = *PosixEnv().Stamp(path);
  }
  return kept;
}

TEST_CASE("features of a folder of real clips are kept until a byte of it changes") {
  const TempFolder temp;
  REQUIRE_OK(PosixEnv().CreateFolders(temp / "real"));
  const auto write = [&](int clip) {
    at::Generator generator = at::detail::createCPUGenerator(clip);
    const at::Tensor frames =
        at::randint(0, 256, {17, 64, 64, 3}, generator, at::TensorOptions().dtype(at::kByte));
    REQUIRE_OK(WriteVideo(PosixEnv(), temp / absl::StrCat("real/", clip % 10, ".png"), frames, {}));
  };
  for (int clip = 0; clip < 4; ++clip) write(clip);
  const auto evaluate = [&] {
    return RunWanliteJson({"evaluate", "--quiet", "--original", kModel, "--real", temp / "real",
                           "--prompt", "a red 3", "--seeds", "2", "--steps", "1", "--repeats", "1",
                           "--no-memory", "--extractor", "digits:examples/digits/classifier",
                           "--cache", temp / "cache"});
  };
  const Json first = evaluate();
  const auto kept = KeptFeatures(temp / "cache");
  CHECK(kept.size() == 1);
  CHECK(evaluate()["set"] == first["set"]);
  CHECK((KeptFeatures(temp / "cache") == kept));
  write(13);  // in place of clip 3
  CHECK(evaluate()["set"] != first["set"]);
  CHECK(KeptFeatures(temp / "cache").size() == 2);
}

TEST_CASE("models whose folders state no defaults switch experts where the original does") {
  const TempFolder temp;
  for (const char* name : {"original", "other"}) {
    REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / name));
  }
  const std::string index = temp / "other/model_index.json";
  ASSERT_OK_AND_ASSIGN(const std::string text, PosixEnv().ReadFile(index));
  REQUIRE(absl::StrContains(text, "0.875"));
  testing::Write(index, absl::StrReplaceAll(
                            text, {{"0.875", "0.3"}, {"wanlite_defaults", "others_defaults"}}));
  const Json json =
      RunWanliteJson({"evaluate", "--quiet", "--original", temp / "original", "--compressed",
                      temp / "other", "--repeats", "1", "--no-memory"});
  CHECK(json["original"]["calls"] == json["compressed"]["calls"]);
  CHECK(json["paired"]["identical"] == true);
}

TEST_CASE("two experts are compared with the one network that was made of them") {
  const TempFolder temp;
  const std::string recipe = temp / "merge.textproto";
  testing::Write(recipe, "passes { student { experts: FROM_FIRST blocks: 4 } }");
  const Json plan = RunWanliteJson({"plan", "--model", kModel, "--recipe", recipe});
  CHECK(plan["gflop_before"].size() == 2);
  CHECK(plan["gflop_after"].size() == 1);
  const Outcome planned = RunWanlite({"plan", "--model", kModel, "--recipe", recipe});
  CHECK(planned.code == 0);
  CHECK(absl::StrContains(planned.out, "gone"));
  const Outcome made = RunWanlite(
      {"compress", "--quiet", "--model", kModel, "--recipe", recipe, "--out", temp / "one"});
  INFO(made.err);
  REQUIRE(made.code == 0);
  const Json json = RunWanliteJson({"evaluate", "--quiet", "--original", kModel, "--compressed",
                                    temp / "one", "--steps", "4", "--repeats", "1", "--no-memory"});
  CHECK(json["paired"]["velocity"].size() == 4);
  CHECK(json["original"]["calls"].contains("transformer_2"));
  CHECK_FALSE(json["compressed"]["calls"].contains("transformer_2"));
  // And the other way round.
  const Outcome back =
      RunWanlite({"evaluate", "--quiet", "--original", temp / "one", "--compressed", kModel,
                  "--steps", "2", "--repeats", "1", "--no-memory"});
  INFO(back.err);
  CHECK(back.code == 0);
}

TEST_CASE("a byte-order mark is no part of the first prompt") {
  const TempFolder temp;
  testing::Write(temp / "prompts.txt",
                 "\xEF\xBB\xBF"
                 "a red digit 3 moves left\r\n\n");
  const Json json = RunWanliteJson({"evaluate", "--quiet", "--original", kModel, "--compressed",
                                    kModel, "--steps", "1", "--repeats", "1", "--prompts-file",
                                    temp / "prompts.txt", "--no-memory"});
  CHECK(json["settings"]["prompts"] == Json::array({"a red digit 3 moves left"}));
  testing::Write(temp / "utf16.txt", std::string("\xFF\xFE"
                                                 "a\0",
                                                 4));
  const Outcome utf16 = RunWanlite({"evaluate", "--original", kModel, "--compressed", kModel,
                                    "--prompts-file", temp / "utf16.txt"});
  CHECK(utf16.code == 3);
  CHECK(absl::StrContains(utf16.err, "UTF-16"));
}

TEST_CASE("evaluations that cannot be meant are refused") {
  const TempFolder temp;
  const auto refused = [](std::vector<std::string> arguments, const std::string& said) {
    arguments.insert(arguments.begin(), "evaluate");
    const Outcome outcome = RunWanlite(arguments);
    INFO(outcome.err);
    CHECK(outcome.code != 0);
    CHECK(outcome.code < 128);
    CHECK(absl::StrContains(outcome.err, said));
  };
  refused({}, "--original");
  refused({"--original", kModel}, "--compressed");
  refused({"--original", kModel, "--compressed", temp / "absent"}, "absent");
  refused({"--original", kModel, "--compressed", kModel, "--set", "cats:here"}, "digits:DIR");
  refused({"--original", kModel, "--compressed", kModel, "--set", "digits:" + (temp / "none")},
          "train.textproto");
  refused({"--original", kModel, "--compressed", kModel, "--set", kSet, "--set-clips", "1"},
          "at least 2");
  refused({"--original", kModel, "--compressed", kModel, "--set", kSet, "--extractor", "what"},
          "what");
  refused({"--original", kModel, "--compressed", kModel, "--set", kSet, "--real", "."}, "exclude");
  refused({"--original", kModel, "--compressed", kModel, "--extractor", "random3d"}, "needs --set");
  refused({"--original", kModel, "--compressed", kModel, "--report", temp / "no/such/r.html"},
          "no folder");
  refused({"--original", kModel, "--compressed", kModel, "--protocol", "none"}, "mlperf");
  refused({"--original", kModel, "--set", kSet, "--resamples", "1"}, "at least 2");
  refused({"--original", kModel, "--set", kSet, "--set-clips", "99999999999"}, "at most");
  refused({"--videos", temp / "", "--original", kModel}, "one at a time");
}

}  // namespace
}  // namespace wanlite
