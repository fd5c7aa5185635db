// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_TESTS_TESTING_TEMP_FOLDER_H_
#define WANLITE_TESTS_TESTING_TEMP_FOLDER_H_

#include <filesystem>
#include <string>

#include "tests/testing/catch.h"
#include "wanlite/env.h"

namespace wanlite::testing {

// A folder of the test run on the real disk, removed with all it holds.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "wanlite_test_XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() { PosixEnv().RemoveAll(path_).IgnoreError(); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const { return JoinPath(path_, name); }

 private:
  std::string path_;
};

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_TEMP_FOLDER_H_
