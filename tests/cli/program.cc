// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/cli/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_join.h"
#include "tests/testing/catch.h"
#include "wanlite/env.h"

extern char** environ;

namespace wanlite::testing {

void Write(const std::string& path, const std::string& text) {
  REQUIRE_OK(PosixEnv().WriteFileAtomically(path, text));
}

pid_t StartWanlite(const std::vector<std::string>& arguments, const std::string& out,
                   const std::string& err) {
  std::vector<std::string> owned{"wanlite"};
  owned.insert(owned.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : owned) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  const int rc = posix_spawn(&child, WANLITE_PROGRAM, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  REQUIRE(rc == 0);
  return child;
}

Outcome FinishWanlite(pid_t child, const std::string& out, const std::string& err) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  Outcome outcome;
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  ASSERT_OK_AND_ASSIGN(outcome.out, PosixEnv().ReadFile(out));
  ASSERT_OK_AND_ASSIGN(outcome.err, PosixEnv().ReadFile(err));
  return outcome;
}

Outcome RunWanlite(const std::vector<std::string>& arguments) {
  const TempFolder temp;
  const pid_t child = StartWanlite(arguments, temp / "out", temp / "err");
  return FinishWanlite(child, temp / "out", temp / "err");
}

nlohmann::json RunWanliteJson(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const Outcome outcome = RunWanlite(arguments);
  INFO("wanlite " << absl::StrJoin(arguments, " ") << "\n" << outcome.err << "\n" << outcome.out);
  REQUIRE(outcome.code == 0);
  nlohmann::json json = nlohmann::json::parse(outcome.out, nullptr, false);
  REQUIRE_FALSE(json.is_discarded());
  return json;
}

}  // namespace wanlite::testing
