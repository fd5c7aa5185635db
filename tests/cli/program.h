// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs the built program as a user does.
#ifndef WANLITE_TESTS_CLI_PROGRAM_H_
#define WANLITE_TESTS_CLI_PROGRAM_H_

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/testing/temp_folder.h"

namespace wanlite::testing {

struct Outcome {
  int code = -1;  // 1000 + signal when one ended it
  std::string out, err;
};

void Write(const std::string& path, const std::string& text);

// `wanlite` in a process of its own, its output going to files; and its end.
pid_t StartWanlite(const std::vector<std::string>& arguments, const std::string& out,
                   const std::string& err);
Outcome FinishWanlite(pid_t child, const std::string& out, const std::string& err);
// `wanlite` with these arguments, to its end.
Outcome RunWanlite(const std::vector<std::string>& arguments);
// The same with --json: must succeed, and write one JSON value to standard output and nothing else.
nlohmann::json RunWanliteJson(std::vector<std::string> arguments);

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_CLI_PROGRAM_H_
