// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/confined_env.h"

#include "absl/strings/str_cat.h"
#include "wanlite/status.h"

namespace wanlite {

ConfinedEnv::ConfinedEnv(Env& base, absl::string_view folder)
    : ForwardingEnv(base), folder_(folder), place_(base.ResolvePath(folder)) {
  if (!place_.ok()) return;
  // CACHE/snapshots/REVISION, or a component's folder in it.
  const size_t at = place_->rfind("/snapshots/");
  if (at != std::string::npos) blobs_ = JoinPath(place_->substr(0, at), "blobs");
}

absl::Status ConfinedEnv::CheckInside(absl::string_view path) {
  if (!IsInside(path, folder_)) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(place_.status());
  WANLITE_ASSIGN_OR_RETURN(const std::string place, base_.ResolvePath(path));
  if (IsInside(place, *place_) || (!blobs_.empty() && IsInside(place, blobs_))) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      absl::StrCat(path, " is a link out of the model folder, to ", place,
                   ": such links are not followed; put a copy or a hard link in its place"));
}

absl::StatusOr<std::shared_ptr<const FileMapping>> ConfinedEnv::Map(absl::string_view path) {
  WANLITE_RETURN_IF_ERROR(CheckInside(path));
  return base_.Map(path);
}

absl::StatusOr<uint64_t> ConfinedEnv::FileSize(absl::string_view path) {
  WANLITE_RETURN_IF_ERROR(CheckInside(path));
  return base_.FileSize(path);
}

absl::StatusOr<std::vector<std::string>> ConfinedEnv::ListFolder(absl::string_view path) {
  WANLITE_RETURN_IF_ERROR(CheckInside(path));
  return base_.ListFolder(path);
}

}  // namespace wanlite
