// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Starts the processes of a group on this machine, as torchrun does on many.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/cli/options.h"
#include "src/core/stopwatch.h"
#include "wanlite/process_group.h"
#include "wanlite/status.h"

extern char** environ;

namespace wanlite::cli {
namespace {

constexpr int kPollMilliseconds = 20;
// Others end by themselves when one is gone; those that do not are asked to, then made to.
constexpr double kAskAfter = 10, kKillAfter = 20;

struct LaunchArgs {
  int processes = 2;
  int port = 0;
  std::vector<std::string> command;
};

// The environment of this process with some variables in place of its own.
std::vector<std::string> EnvironmentWith(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name = std::vector<std::string>(absl::StrSplit(*entry, '='))[0];
    if (!variables.contains(name)) result.push_back(*entry);
  }
  for (const auto& [name, value] : variables) result.push_back(absl::StrCat(name, "=", value));
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Start(const LaunchArgs& options, int rank, int port) {
  std::map<std::string, std::string> variables = {
      {"RANK", absl::StrCat(rank)},
      {"LOCAL_RANK", absl::StrCat(rank)},
      {"WORLD_SIZE", absl::StrCat(options.processes)},
      {"LOCAL_WORLD_SIZE", absl::StrCat(options.processes)},
      {"MASTER_ADDR", "127.0.0.1"},
      {"MASTER_PORT", absl::StrCat(port)}};
  if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    const auto cores = static_cast<int>(std::thread::hardware_concurrency());
    variables["OMP_NUM_THREADS"] = absl::StrCat(std::max(1, cores / options.processes));
  }
  std::vector<std::string> environment = EnvironmentWith(variables);
  std::vector<std::string> arguments{"wanlite"};
  arguments.insert(arguments.end(), options.command.begin(), options.command.end());
  const std::vector<char*> envp = Pointers(environment), argv = Pointers(arguments);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) {
    return absl::InternalError(
        absl::StrCat("cannot start another wanlite process: ", std::strerror(errno)));
  }
  if (child == 0) {
    // However this process ends, its children end too.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent) execve("/proc/self/exe", argv.data(), envp.data());
    _exit(1);
  }
  return child;
}

// How a process ended, in words; empty when all is well.
std::string EndOf(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("was ended by signal ", WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return absl::StrCat("ended with code ", WEXITSTATUS(status));
  return "";
}

absl::Status RunLaunch(const LaunchArgs& options, Session& session) {
  const std::string& command = options.command.front();
  if (command != "compress" && command != "train") {
    return absl::InvalidArgumentError(
        absl::StrCat("'", command, "' is not run by processes together: compress and train are"));
  }
  if (session.json) {
    return absl::InvalidArgumentError("--json belongs behind --, to the command that is run");
  }
  int port = options.port;
  if (port == 0) {
    WANLITE_ASSIGN_OR_RETURN(port, FreePort());
  }
  std::map<pid_t, int> running;  // ranks
  const auto signal_all = [&](int signal) {
    for (const auto& [pid, rank] : running) kill(pid, signal);
  };
  absl::Status started;
  for (int rank = 0; rank < options.processes && started.ok(); ++rank) {
    const absl::StatusOr<pid_t> child = Start(options, rank, port);
    if (child.ok()) {
      running[*child] = rank;
    } else {
      started = child.status();
    }
  }
  if (!started.ok()) signal_all(SIGKILL);
  std::string failure;  // of the first that failed
  Stopwatch since_failure;
  bool asked = false, killed = false, forwarded = false, by_signal = false;
  while (!running.empty()) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended > 0 && running.contains(ended)) {
      const std::string end = EndOf(status);
      if (!end.empty() && failure.empty()) {
        session.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        since_failure = Stopwatch();
      }
      // One that was killed says nothing itself, and is why the others fail.
      const bool killed_by_others = WIFSIGNALED(status) && !forwarded && !asked && !by_signal;
      if (!end.empty() && (failure.empty() || killed_by_others)) {
        failure = absl::StrCat("process ", running[ended], " of ", options.processes, " ", end);
        by_signal = WIFSIGNALED(status);
      }
      running.erase(ended);
      continue;
    }
    if (session.cancel().cancelled() && !forwarded) {
      signal_all(SIGTERM);
      forwarded = true;
    }
    if (!failure.empty() && since_failure.Seconds() > kAskAfter && !asked) {
      signal_all(SIGTERM);
      asked = true;
    }
    if (!failure.empty() && since_failure.Seconds() > kKillAfter && !killed) {
      signal_all(SIGKILL);
      killed = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMilliseconds));
  }
  WANLITE_RETURN_IF_ERROR(started);
  WANLITE_RETURN_IF_ERROR(session.cancel().Check());
  // What went wrong was said by the process itself, unless it was killed.
  if (!failure.empty()) std::fprintf(stderr, "wanlite launch: %s\n", failure.c_str());
  return absl::OkStatus();
}

}  // namespace

Command AddLaunch(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "launch", "Run a command in several processes of this machine, which train together",
      "wanlite launch --processes 2 -- compress --model examples/digits/model --samples SAMPLES "
      "--recipe r.textproto --out small\n\n"
      "For compress and train. Each process gets the variables that torchrun would set (RANK,\n"
      "WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), so on many machines use torchrun:\n"
      "  torchrun --nnodes 2 --nproc-per-node 8 --no-python ... wanlite compress ...\n"
      "loop.accumulate must be a multiple of the number of processes. When one of them ends, all\n"
      "do; the same command continues.");
  auto options = std::make_shared<LaunchArgs>();
  command.app->add_option("--processes", options->processes, "how many")
      ->type_name("N")
      ->required()
      ->check(CLI::Range(1, 64));
  command.app->add_option("--port", options->port, "where they meet (default: a free one)")
      ->type_name("N")
      ->check(CLI::Range(1, 65535));
  command.app->add_option("command", options->command, "command with its options, after --")
      ->required()
      ->type_name("-- COMMAND");
  command.run = [options](Session& session) { return RunLaunch(*options, session); };
  command.resume = "the last state is kept, run the same command again to continue";
  command.grace_milliseconds = 5000;  // its processes have a second each
  return command;
}

}  // namespace wanlite::cli
