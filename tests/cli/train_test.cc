// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// `wanlite train` on a model and clips of the user's.
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/digits/digits.h"
#include "src/digits/render_clips.h"
#include "src/digits/vae_training.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;

constexpr char kModel[] = "examples/digits/model";

// Moving digits, black on coloured light: what the model was never shown, so there is much to
// learn.
void WriteClips(const std::string& dir, int count) {
  REQUIRE_OK(PosixEnv().CreateFolders(dir));
  ASSERT_OK_AND_ASSIGN(const digits::DigitScans scans,
                       digits::DigitScans::Load(PosixEnv(), "examples/digits/data/digits.csv.gz"));
  for (int i = 0; i < count; ++i) {
    const digits::ClipSpec spec = digits::SampleClip(
        scans, {}, digits::Split::kTrain, digits::Combinations::kAll, static_cast<uint64_t>(i));
    const at::Tensor frames = ToFrames(-digits::RenderClips(scans, {}, {spec}));
    const std::string ending = i % 3 == 0 ? ".png" : i % 3 == 1 ? ".webp" : ".y4m";
    const std::string path = JoinPath(dir, absl::StrCat("clip", i));
    REQUIRE_OK(WriteVideo(PosixEnv(), path + ending, frames, {}));
    testing::Write(path + ".txt", digits::Caption(spec, digits::Language::kEnglish, 0));
  }
}

std::vector<std::string> Arguments(const std::string& clips, const std::string& out) {
  return {"train",
          "--model",
          kModel,
          "--clips",
          clips,
          "--out",
          out,
          "--component",
          "transformer_2",
          "--steps",
          "24",
          "--batch",
          "2",
          "--rate",
          "0.002",
          "--warmup",
          "2",
          "--state-every",
          "4",
          "--caption-dropout",
          "0",
          "--threads",
          "1",
          "--recompute"};
}

std::map<std::string, std::string> FilesBelow(const std::string& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[std::filesystem::relative(entry.path(), dir).string()] =
        std::string(std::istreambuf_iterator<char>(file), {});
  }
  return files;
}

bool HasState(const std::string& dir) {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(dir, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().filename() == "state.json") return true;
  }
  return false;
}

TEST_CASE("A model learns a user's clips; killed, the same command goes on to the same bytes") {
  const TempFolder temp;
  const std::string clips = temp / "clips";
  WriteClips(clips, 3);
  const nlohmann::json report = RunWanliteJson(Arguments(clips, temp / "whole"));
  REQUIRE(report["components"].size() == 1);
  const nlohmann::json& expert = report["components"][0];
  CHECK(expert["component"] == "transformer_2");
  CHECK(expert["steps"] == 24);
  INFO(expert.dump());
  CHECK(expert["last_loss"].get<double>() < 0.8 * expert["first_loss"].get<double>());

  const std::string out = temp / "killed";
  const pid_t child =
      testing::StartWanlite(Arguments(clips, out), temp / "stdout", temp / "stderr");
  const auto begin = std::chrono::steady_clock::now();
  while (!HasState(out + ".run") &&
         std::chrono::steady_clock::now() - begin < std::chrono::seconds(120)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(child, SIGKILL);
  const Outcome killed = testing::FinishWanlite(child, temp / "stdout", temp / "stderr");
  REQUIRE(killed.code == 1000 + SIGKILL);
  REQUIRE_FALSE(std::filesystem::exists(out));
  const nlohmann::json again = RunWanliteJson(Arguments(clips, out));
  CHECK(again["components"][0]["first_step"].get<int>() > 0);
  CHECK(FilesBelow(out) == FilesBelow(temp / "whole"));

  // The checkpoint is one like any other.
  CHECK(RunWanlite({"inspect", "--model", out, "--verify"}).code == 0);
}

TEST_CASE("A training that is told to end finishes its step and keeps what it learnt") {
  const TempFolder temp;
  const std::string out = temp / "digits";
  const std::vector<std::string> arguments{"train", "--config",  "examples/digits/train.textproto",
                                           "--out", out,         "--stage",
                                           "vae",   "--threads", "1"};
  const pid_t child = testing::StartWanlite(arguments, temp / "stdout", temp / "stderr");
  // Its first state would be due after 200 steps, a step takes longer than other commands are
  // given.
  for (int i = 0; i < 600; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (std::filesystem::exists(out)) break;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  REQUIRE(kill(child, SIGTERM) == 0);
  const Outcome outcome = testing::FinishWanlite(child, temp / "stdout", temp / "stderr");
  INFO(outcome.err);
  CHECK(outcome.code == 130);
  CHECK(absl::StrContains(outcome.err, "the last state is kept"));
  CHECK(HasState(out));
}

TEST_CASE("`train` says what it misses, and takes no option that means nothing") {
  const TempFolder temp;
  const std::string clips = temp / "clips";
  WriteClips(clips, 2);
  REQUIRE_OK(PosixEnv().RemoveFile(JoinPath(clips, "clip1.txt")));
  const auto says = [](const std::vector<std::string>& arguments, int code,
                       const std::string& part) {
    const Outcome outcome = RunWanlite(arguments);
    INFO(outcome.err);
    CHECK(outcome.code == code);
    CHECK(absl::StrContains(outcome.err, part));
  };
  says({"train", "--model", kModel, "--clips", clips, "--out", temp / "out"}, 4, "clip1.txt");
  says({"train", "--model", kModel, "--out", temp / "out"}, 3, "--clips");
  says({"train", "--out", temp / "out"}, 3, "--config");
  says({"train", "--model", kModel, "--clips", clips, "--out", temp / "out", "--stage", "vae"}, 3,
       "--stage");
  says({"train", "--config", "examples/digits/train.textproto", "--out", temp / "out", "--rate",
        "1"},
       3, "--rate");
  CHECK_FALSE(std::filesystem::exists(temp / "out"));
  CHECK_FALSE(std::filesystem::exists(temp / "out.run"));
}

}  // namespace
}  // namespace wanlite
