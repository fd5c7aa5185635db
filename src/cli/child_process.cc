// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "wanlite/status.h"

extern char** environ;

namespace wanlite::cli {
namespace {
constexpr int kPollMilliseconds = 50;
}  // namespace

absl::StatusOr<std::string> RunSelf(const std::vector<std::string>& arguments,
                                    const CancellationToken& cancel) {
  const auto failed = [](absl::string_view what, int error) {
    return absl::InternalError(absl::StrCat("cannot ", what, ": ", std::strerror(error)));
  };
  std::vector<std::string> owned{"wanlite"};
  owned.insert(owned.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : owned) argv.push_back(argument.data());
  argv.push_back(nullptr);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return failed("make a pipe", errno);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t child = 0;
  const int spawned =
      posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (spawned != 0) {
    close(ends[0]);
    return failed("start another wanlite process", spawned);
  }
  std::string output;
  char buffer[4096];
  bool ended = false;
  for (;;) {
    // Wakes now and then, since a signal that ends this process alone must end the other one too.
    if (cancel.cancelled() && !ended) {
      kill(child, SIGTERM);
      ended = true;
    }
    pollfd readable{ends[0], POLLIN, 0};
    if (poll(&readable, 1, kPollMilliseconds) <= 0) continue;
    const ssize_t got = read(ends[0], buffer, sizeof(buffer));
    if (got > 0) {
      output.append(buffer, static_cast<size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      break;
    }
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  WANLITE_RETURN_IF_ERROR(cancel.Check());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  return absl::InternalError(absl::StrCat(
      "the process 'wanlite ", arguments.empty() ? "" : arguments.front(), "' failed with ",
      WIFEXITED(status) ? absl::StrCat("exit code ", WEXITSTATUS(status))
                        : absl::StrCat("signal ", WTERMSIG(status))));
}

}  // namespace wanlite::cli
