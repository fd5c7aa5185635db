// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs the built program as a user does.
#ifndef WANLITE_TESTS_CLI_PROGRAM_H_
#define WANLITE_TESTS_CLI_PROGRAM_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace wanlite::testing {

// A folder of the test run, removed with all it holds.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const;

 private:
  std::string path_;
};

struct Outcome {
  int code = -1;  // 1000 + signal when one ended it
  std::string out, err;
};

// `wanlite` with these arguments, to its end.
Outcome RunWanlite(const std::vector<std::string>& arguments);
// The same with --json: must succeed, and write one JSON value to standard output and nothing else.
nlohmann::json RunWanliteJson(std::vector<std::string> arguments);

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_CLI_PROGRAM_H_
