// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// That no command loses what is on the disk, ends without a word when its output is lost, or
// outlives the signal that ends it.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/core/libtorch.h"
#include "src/evaluate/evaluate.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/checkpoint.h"
#include "wanlite/metrics.h"

namespace wanlite {
namespace {

using testing::FinishWanlite;
using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::StartWanlite;
using testing::TempFolder;
using testing::Write;

// A tiny model and a recipe for it, made once.
std::string Given(const std::string& name) {
  static const TempFolder& temp = *[] {
    auto* folder = new TempFolder;
    REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), *folder / "model"));
    Write(*folder / "int8.textproto", "passes { quantize_int8 { } }\n");
    return folder;
  }();
  return temp / name;
}

// The exit code of a shell's command line, in which $W is the program and $M the model.
int Shell(const std::string& line) {
  setenv("W", WANLITE_PROGRAM, 1);
  setenv("M", Given("model").c_str(), 1);
  const int status = std::system(line.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_CASE("a command whose output is lost fails and says so") {
  const TempFolder temp;
  setenv("ERR", (temp / "err").c_str(), 1);
  for (const char* command :
       {"version --json", "inspect --model $M", "flops --config $M --json", "--help"}) {
    INFO(command);
    CHECK(Shell(absl::StrCat("\"$W\" ", command, " >/dev/full 2>\"$ERR\"")) == 6);
    ASSERT_OK_AND_ASSIGN(const std::string err, PosixEnv().ReadFile(temp / "err"));
    CHECK(absl::StrContains(err, "cannot write to standard output"));
    CHECK(Shell(absl::StrCat("\"$W\" ", command, " >/dev/null 2>&1")) == 0);
  }
  CHECK(Shell("\"$W\" version >&- 2>/dev/null") != 0);
}

TEST_CASE("with standard output closed nothing is printed into the file that is written") {
  const TempFolder temp;
  setenv("OUT", (temp / "clip.png").c_str(), 1);
  CHECK(Shell("\"$W\" generate --model \"$M\" --prompt a --out \"$OUT\" --json >&- 2>/dev/null") !=
        0);
  ASSERT_OK_AND_ASSIGN(const std::string clip, PosixEnv().ReadFile(temp / "clip.png"));
  CHECK(absl::StartsWith(clip, "\x89PNG"));
  CHECK_FALSE(absl::StrContains(clip, "\"written\""));
}

// Waits until the process would catch SIGTERM.
void AwaitHandler(pid_t child) {
  for (int i = 0; i < 6000; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::FILE* file = std::fopen(absl::StrCat("/proc/", child, "/status").c_str(), "r");
    REQUIRE(file != nullptr);
    char line[256];
    uint64_t caught = 0;
    while (std::fgets(line, sizeof(line), file) != nullptr) {
      absl::string_view text(line);
      if (absl::ConsumePrefix(&text, "SigCgt:")) {
        REQUIRE(absl::SimpleHexAtoi(absl::StripAsciiWhitespace(text), &caught));
      }
    }
    std::fclose(file);
    if ((caught & (uint64_t{1} << (SIGTERM - 1))) != 0) return;
  }
  FAIL("the program never caught SIGTERM");
}

// Its million resamples take many minutes and ask nothing in between: only the watcher ends them.
TEST_CASE("SIGTERM, Ctrl-C and a closed terminal end a long computation with code 130") {
  const TempFolder temp;
  REQUIRE_OK(
      WriteSafetensors(PosixEnv(), temp / "f.safetensors", {{"features", at::rand({64, 64})}}));
  const int signal = GENERATE(SIGTERM, SIGINT, SIGHUP);
  INFO("signal " << signal);
  const pid_t child = StartWanlite({"frechet", "--real", temp / "f.safetensors", "--generated",
                                    temp / "f.safetensors", "--resamples", "1000000"},
                                   temp / "out", temp / "err");
  AwaitHandler(child);
  REQUIRE(kill(child, signal) == 0);
  const Outcome outcome = FinishWanlite(child, temp / "out", temp / "err");
  CHECK(outcome.code == 130);
  CHECK(absl::StrContains(outcome.err, "wanlite frechet: interrupted"));
  CHECK(outcome.out.empty());
}

TEST_CASE("a finished model is never removed with its run folder") {
  const TempFolder temp;
  const Outcome inside =
      RunWanlite({"compress", "--model", Given("model"), "--recipe", Given("int8.textproto"),
                  "--run-dir", temp / "work", "--out", temp / "work/small"});
  CHECK(inside.code == 3);
  CHECK(absl::StrContains(inside.err, "cannot be in run_dir"));
  CHECK_FALSE(PosixEnv().FolderExists(temp / "work"));

  REQUIRE_OK(PosixEnv().CreateFolders(temp / "exp/stage-1-data"));
  Write(temp / "exp/stage-1-data/photo.png", "mine");
  CHECK(RunWanlite({"compress", "--model", Given("model"), "--recipe", Given("int8.textproto"),
                    "--run-dir", temp / "exp", "--out", temp / "small"})
            .code == 5);
  CHECK(PosixEnv().FileExists(temp / "exp/stage-1-data/photo.png"));
}

TEST_CASE("outputs that cannot be are refused before the model is opened") {
  const TempFolder temp;
  const std::string absent = temp / "no_model";
  const std::string longest(256, 'x');
  REQUIRE_OK(PosixEnv().CreateFolders(temp / "d"));
  for (const std::string& out : {temp / "d", temp / "d/.", temp / (longest + ".png")}) {
    INFO(out);
    CHECK(RunWanlite({"forward", "--model", absent, "--component", "vae.decode", "--inputs", absent,
                      "--output", out})
              .code == 3);
    CHECK(
        RunWanlite({"generate", "--model", absent, "--prompt", "a", "--save-latents", out}).code ==
        3);
  }
  // A model that is there, since a folder is only made for something to put into it.
  for (const std::string& out : {temp / "d/.", temp / longest, std::string("/proc/a/b")}) {
    INFO(out);
    CHECK(RunWanlite({"convert", "--model", Given("model"), "--out", out}).code != 0);
    CHECK(RunWanlite({"compress", "--model", Given("model"), "--recipe", Given("int8.textproto"),
                      "--run-dir", temp / "run", "--out", out})
              .code != 0);
    CHECK_FALSE(PosixEnv().FolderExists(temp / "run"));
  }
  CHECK(PosixEnv().ListFolder(temp / "")->size() == 1);
}

TEST_CASE("one file named for two outputs is refused") {
  const TempFolder temp;
  const Outcome outcome = RunWanlite({"generate", "--model", Given("model"), "--prompt", "a",
                                      "--out", temp / "clip.png", "--sheet", temp / "./clip.png"});
  CHECK(outcome.code == 3);
  CHECK(absl::StrContains(outcome.err, "named for two outputs"));
  CHECK(PosixEnv().ListFolder(temp / "")->empty());
}

TEST_CASE("names that are not UTF-8 work") {
  const TempFolder temp;
  const std::string dir = temp / "caf\xe9";
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), dir));
  const std::string recipe = temp /
                             "r\xe9"
                             "cipe.textproto";
  Write(recipe, "passes { quantize_int8 { } }\n");
  const std::string small = temp / "petit\xe9";
  RunWanliteJson({"compress", "--model", dir, "--recipe", recipe, "--out", small});
  RunWanliteJson({"inspect", "--verify", "--model", small});
  RunWanliteJson({"convert", "--model", small, "--out", temp / "export\xe9"});
  RunWanliteJson({"generate", "--model", temp / "export\xe9", "--prompt", "a", "--out",
                  temp / "clip\xe9.png", "--save-latents", temp / "latents\xe9"});
  CHECK(PosixEnv().FileExists(temp / "clip\xe9.png"));
}

TEST_CASE("counting zeros stops when it is cancelled") {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(PosixEnv(), Given("model"), {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  CancellationToken token;
  REQUIRE_OK(NonZeroFractions(view, &token));
  token.Cancel();
  CHECK(absl::IsCancelled(NonZeroFractions(view, &token).status()));
}

TEST_CASE("an evaluation whose memory could not be measured says so") {
  EvaluateOptions options;
  options.original = Given("model");
  options.candidates = {Given("model")};
  options.repeats = 1;
  options.prompts = {"a"};
  options.peak_rss = [](const EvaluateReport&, const std::string&) -> absl::StatusOr<int64_t> {
    return absl::InternalError("the process failed with signal 9");
  };
  ASSERT_OK_AND_ASSIGN(const EvaluateReport report,
                       Evaluate(PosixEnv(), BuiltinArchitectures(), options));
  const nlohmann::json json = nlohmann::json::parse(EvaluationJson(report));
  CHECK(json["original"]["peak_rss_bytes"].is_null());
  CHECK(json["original"]["peak_rss_warning"] ==
        "peak memory was not measured: the process failed with signal 9");
  CHECK(absl::StrContains(EvaluationTable(report), "the process failed with signal 9"));
}

}  // namespace
}  // namespace wanlite
