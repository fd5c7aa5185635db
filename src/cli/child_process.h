// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#ifndef WANLITE_SRC_CLI_CHILD_PROCESS_H_
#define WANLITE_SRC_CLI_CHILD_PROCESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace wanlite::cli {

// Runs this program with other arguments and returns its standard output; standard error is shared.
// Cancelled when it was interrupted, Internal with its exit code when it failed.
absl::StatusOr<std::string> RunSelf(const std::vector<std::string>& arguments);

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_CHILD_PROCESS_H_
