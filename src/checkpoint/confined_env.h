// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A disk of which one folder is read, and nothing that links in it lead to elsewhere.
#ifndef WANLITE_SRC_CHECKPOINT_CONFINED_ENV_H_
#define WANLITE_SRC_CHECKPOINT_CONFINED_ENV_H_

#include <string>
#include <vector>

#include "src/core/forwarding_env.h"

namespace wanlite {

// Reading a file below `folder` is PermissionDenied when links take it out of the folder. A
// snapshot in a cache of Hugging Face is all links to the blobs/ beside snapshots/: these are
// followed too. Files that are not named below the folder, such as one that the user gives, are not
// looked at.
class ConfinedEnv : public ForwardingEnv<Env> {
 public:
  ConfinedEnv(Env& base, absl::string_view folder);

  absl::StatusOr<std::shared_ptr<const FileMapping>> Map(absl::string_view path) override;
  absl::StatusOr<uint64_t> FileSize(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path) override;

  absl::Status CheckInside(absl::string_view path);

 private:
  const std::string folder_;
  absl::StatusOr<std::string> place_;  // the folder itself, without links
  std::string blobs_;                  // empty when the folder is in no cache
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_CONFINED_ENV_H_
