// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Whole files, read piece by piece.
#ifndef WANLITE_SRC_CHECKPOINT_FILE_TOOLS_H_
#define WANLITE_SRC_CHECKPOINT_FILE_TOOLS_H_

#include <string>

#include "absl/status/statusor.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"

namespace wanlite {

// SHA-256 of a file in hexadecimal, read piece by piece: its pages leave memory as it goes. Asks
// `cancel` between pieces; never when null.
absl::StatusOr<std::string> HashFile(Env& env, const std::string& path,
                                     const CancellationToken* cancel = nullptr);

// Copies a file durably and atomically, piece by piece.
absl::Status CopyFile(Env& env, const std::string& from, const std::string& to);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_FILE_TOOLS_H_
