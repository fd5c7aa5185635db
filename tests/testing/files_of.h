// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_TESTS_TESTING_FILES_OF_H_
#define WANLITE_TESTS_TESTING_FILES_OF_H_

#include <map>
#include <string>
#include <vector>

#include "tests/testing/catch.h"
#include "wanlite/env.h"

namespace wanlite::testing {

// The contents of all files in a folder and below, by path inside it.
inline std::map<std::string, std::string> FilesOf(Env& env, const std::string& dir) {
  std::map<std::string, std::string> files;
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, env.ListFolder(dir));
  for (const std::string& name : names) {
    const std::string path = JoinPath(dir, name);
    if (env.FolderExists(path)) {
      for (const auto& [below, bytes] : FilesOf(env, path)) files[JoinPath(name, below)] = bytes;
    } else {
      ASSERT_OK_AND_ASSIGN(files[name], env.ReadFile(path));
    }
  }
  return files;
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_FILES_OF_H_
