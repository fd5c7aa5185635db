// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Training by several processes, as a user starts it.
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;
using testing::Write;

constexpr char kLaunchedModel[] = "examples/digits/model";

std::map<std::string, std::string> AllFiles(const std::string& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    files[std::filesystem::relative(entry.path(), dir).string()] =
        std::string(std::istreambuf_iterator<char>(in), {});
  }
  return files;
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The process of a rank that `launcher` started; none when it has ended.
std::optional<pid_t> ProcessOfRank(pid_t launcher, int rank) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!absl::StrContains(ReadText(entry.path() / "status"),
                           absl::StrCat("PPid:\t", launcher, "\n"))) {
      continue;
    }
    const std::string variable = "RANK=" + std::to_string(rank) + '\0';
    if (absl::StrContains('\0' + ReadText(entry.path() / "environ"), '\0' + variable)) {
      return static_cast<pid_t>(std::stoi(name));
    }
  }
  return std::nullopt;
}

class Launch {
 public:
  Launch() {
    REQUIRE(RunWanlite({"record", "--quiet", "--model", kLaunchedModel, "--prompt",
                        "a red digit 3 moves left", "--prompt", "a blue digit 5 moves down",
                        "--steps", "3", "--seed", "7", "--out", temp_ / "samples"})
                .code == 0);
    Write(temp_ / "r.textproto", R"(seed: 3
      passes { quantize_int8 { linears { include: "transformer_2.*" } } }
      passes { recover {
        method: MODEL components: "transformer" train: "*.blocks.0.*"
        loop { steps: 12 batch: 2 accumulate: 2 learning_rate: 0.0001 state_every: 2
               ema_decay: 0.9 } } })");
  }

  std::vector<std::string> Compress(const std::string& out) const {
    return {"compress",  "--quiet",         "--model",  kLaunchedModel,
            "--samples", temp_ / "samples", "--recipe", temp_ / "r.textproto",
            "--out",     temp_ / out};
  }
  std::vector<std::string> Together(int processes, const std::string& out) const {
    std::vector<std::string> arguments{"launch", "--processes", absl::StrCat(processes), "--"};
    const std::vector<std::string> command = Compress(out);
    arguments.insert(arguments.end(), command.begin(), command.end());
    return arguments;
  }
  // Starts it, does something when a state is there, and waits for the end.
  template <typename Act>
  Outcome Interrupt(const std::string& out, const Act& act) const {
    const std::string log = temp_ / (out + ".log"), errors = temp_ / (out + ".err");
    const pid_t child = testing::StartWanlite(Together(2, out), log, errors);
    const auto begin = std::chrono::steady_clock::now();
    while (!HasState(out) && std::chrono::steady_clock::now() - begin < std::chrono::seconds(60)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    CHECK(HasState(out));
    act(child);
    return testing::FinishWanlite(child, log, errors);
  }
  std::string operator/(const std::string& name) const { return temp_ / name; }

 private:
  bool HasState(const std::string& out) const {
    std::error_code error;
    // Folders may go while it looks.
    for (std::filesystem::recursive_directory_iterator it(temp_ / (out + ".run"), error), end;
         !error && it != end; it.increment(error)) {
      if (it->path().filename() == "state.json") return true;
    }
    return false;
  }

  const TempFolder temp_;
};

TEST_CASE("Processes that are launched together compress to the bytes of one, whatever ends them") {
  const Launch launch;
  REQUIRE(RunWanlite(launch.Compress("alone")).code == 0);
  const std::map<std::string, std::string> wanted = AllFiles(launch / "alone");
  const Outcome together = RunWanlite(launch.Together(2, "together"));
  INFO(together.err);
  REQUIRE(together.code == 0);
  CHECK(AllFiles(launch / "together") == wanted);

  // One is killed: the launcher says which, and nothing hangs.
  const auto begin = std::chrono::steady_clock::now();
  const Outcome killed = launch.Interrupt("killed", [](pid_t launcher) {
    const std::optional<pid_t> victim = ProcessOfRank(launcher, 1);
    REQUIRE(victim.has_value());
    kill(*victim, SIGKILL);
  });
  INFO(killed.err);
  CHECK(killed.code != 0);
  CHECK(absl::StrContains(killed.err, "process 1 of 2 was ended by signal 9"));
  CHECK(absl::StrContains(killed.err, "a process of the group is gone"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
  const Outcome again = RunWanlite(launch.Together(2, "killed"));
  INFO(again.err);
  REQUIRE(again.code == 0);
  CHECK(AllFiles(launch / "killed") == wanted);

  // The launcher is told to end, as by Ctrl-C.
  const Outcome interrupted =
      launch.Interrupt("interrupted", [](pid_t launcher) { kill(launcher, SIGINT); });
  CHECK(interrupted.code == 130);
  REQUIRE(RunWanlite(launch.Compress("interrupted")).code == 0);  // by one process
  CHECK(AllFiles(launch / "interrupted") == wanted);

  // What cannot be is said before anything is written.
  const Outcome uneven = RunWanlite(launch.Together(3, "uneven"));
  CHECK(uneven.code != 0);
  INFO(uneven.err);
  CHECK(absl::StrContains(uneven.err, "3 processes"));
  CHECK_FALSE(std::filesystem::exists(launch / "uneven.run"));
}

TEST_CASE("What a training takes is planned for so many processes") {
  const TempFolder temp;
  Write(temp / "r.textproto", R"(passes { recover {
    method: MODEL components: "transformer" train: "*.self_attn.*" train: "*.ffn.*" recompute: true
    loop { steps: 1000 batch: 8 accumulate: 4 learning_rate: 0.001 ema_decay: 0.9 } } })");
  const auto plan = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"plan", "--model", kLaunchedModel, "--recipe",
                                       temp / "r.textproto"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunWanliteJson(arguments)["passes"][0]["trainings"][0];
  };
  const nlohmann::json alone = plan({"--tflops", "0.001"});
  const nlohmann::json two = plan({"--processes", "2", "--tflops", "0.001"});
  const int64_t trained = alone["trained"];
  CHECK(trained > 1'000'000);
  CHECK(trained < 1'753'000);
  CHECK(alone["memory_bytes"]["optimizer"] == 12 * trained);
  CHECK(two["memory_bytes"]["optimizer"] == 6 * trained);
  CHECK(alone["sent_bytes_per_step"] == 0);
  CHECK(two["sent_bytes_per_step"] == 4 * trained);
  CHECK(two["sent_bytes"] == 4000 * trained);
  CHECK(alone["gflop_per_step"] == two["gflop_per_step"]);
  CHECK(alone["days"].get<double>() == Approx(2 * two["days"].get<double>()));
  CHECK(alone["memory_bytes"]["activations"] <
        plan({"--frames", "33"})["memory_bytes"]["activations"]);
  CHECK_FALSE(alone.contains("problem"));
  // Forward, backward and once more for recompute, and the teacher: five forward passes a sample.
  const nlohmann::json flops = RunWanliteJson({"flops", "--config", kLaunchedModel});
  CHECK(alone["gflop_per_step"].get<double>() ==
        Approx(8 * 5 * flops["components"]["transformer"]["gflop"]["total"].get<double>()));
  CHECK(absl::StrContains(plan({"--processes", "3"})["problem"].get<std::string>(),
                          "3 processes cannot share the 4 pieces"));
  CHECK(absl::StrContains(plan({"--device-gib", "0.01"})["problem"].get<std::string>(),
                          "do not fit into 0.01 GiB"));
  const Outcome text = RunWanlite({"plan", "--model", kLaunchedModel, "--recipe",
                                   temp / "r.textproto", "--processes", "2", "--tflops", "0.001"});
  CHECK(absl::StrContains(text.out, "memory of each, estimated"));
  CHECK(absl::StrContains(text.out, "days where each process sustains 0.001 TFLOP/s"));
}

}  // namespace
}  // namespace wanlite
