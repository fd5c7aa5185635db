// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/cli/processes.h"

#include <optional>

#include "wanlite/status.h"

namespace wanlite::cli {

absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinProcesses(Session& session) {
  WANLITE_ASSIGN_OR_RETURN(const std::optional<RankAddress> address, AddressFromEnvironment());
  if (!address.has_value() || address->size == 1) return nullptr;
  if (address->rank > 0) session.quiet = true;
  return JoinGroup(*address);
}

}  // namespace wanlite::cli
