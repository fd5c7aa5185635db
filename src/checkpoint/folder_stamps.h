// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Whether the files of a model are still those they were, without reading them.
#ifndef WANLITE_SRC_CHECKPOINT_FOLDER_STAMPS_H_
#define WANLITE_SRC_CHECKPOINT_FOLDER_STAMPS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "wanlite/checkpoint.h"

namespace wanlite {

// Stamps of the folder's weight files, by their path below it. They tell a change that a
// fingerprint's samples do not show, but only on the machine and disk where they were taken.
absl::StatusOr<std::map<std::string, FileStamp>> StampsOf(Env& env, const ModelFolder& folder);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_FOLDER_STAMPS_H_
