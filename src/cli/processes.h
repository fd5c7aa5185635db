// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Commands that several processes run together.
#ifndef WANLITE_SRC_CLI_PROCESSES_H_
#define WANLITE_SRC_CLI_PROCESSES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/cli/session.h"
#include "wanlite/process_group.h"

namespace wanlite::cli {

// The group that torchrun's variables name, or `wanlite launch`; null where they name none, or one
// of a single process. Of the members above rank 0 nothing is shown but errors.
absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinProcesses(Session& session);

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_PROCESSES_H_
