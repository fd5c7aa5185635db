// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#ifndef WANLITE_SRC_CLI_CHILD_PROCESS_H_
#define WANLITE_SRC_CLI_CHILD_PROCESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/progress.h"

namespace wanlite::cli {

// Runs this program with other arguments and returns its standard output; standard error is shared.
// Cancelled when it was ended because of `cancel`; Internal with its exit code or
// signal when it failed.
absl::StatusOr<std::string> RunSelf(const std::vector<std::string>& arguments,
                                    const CancellationToken& cancel);

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_CHILD_PROCESS_H_
