// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What every Env shares: whole-file helpers over its virtual functions, and path helpers.
#include "wanlite/env.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "wanlite/status.h"

namespace wanlite {

absl::StatusOr<std::string> Env::ReadFile(absl::string_view path, uint64_t max_bytes) {
  WANLITE_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": file of ", size, " bytes, at most ", max_bytes, " are read here"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const FileMapping> mapping, Map(path));
  const absl::Span<char> data = mapping->data();
  return std::string(data.data(), data.size());
}

absl::Status Env::WriteFileAtomically(absl::string_view path, absl::string_view contents) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  const auto write = [&]() -> absl::Status {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, NewWritableFile(temporary));
    WANLITE_RETURN_IF_ERROR(file->Append(contents));
    WANLITE_RETURN_IF_ERROR(file->Sync());
    WANLITE_RETURN_IF_ERROR(file->Close());
    return Rename(temporary, path);
  };
  if (absl::Status status = write(); !status.ok()) {
    // The disk may be full, so what was written of the temporary file goes away again. The first
    // error is the one worth reporting.
    RemoveFile(temporary).IgnoreError();
    return status;
  }
  return SyncFolder(Dirname(path));
}

std::string JoinPath(absl::string_view a, absl::string_view b) {
  if (a.empty()) return std::string(b);
  if (b.empty()) return std::string(a);
  if (absl::EndsWith(a, "/")) return absl::StrCat(a, b);
  return absl::StrCat(a, "/", b);
}

std::string Dirname(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  absl::string_view dir = path.substr(0, slash);
  while (!dir.empty() && dir.back() == '/') dir.remove_suffix(1);
  return dir.empty() ? "/" : std::string(dir);
}

std::string Basename(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  return std::string(slash == absl::string_view::npos || path.size() == 1 ? path
                                                                          : path.substr(slash + 1));
}

bool IsSafeRelativePath(absl::string_view relative) {
  if (relative.empty() || relative.front() == '/') return false;
  if (absl::StrContains(relative, absl::string_view("\0", 1))) return false;
  if (absl::StrContains(relative, "\\")) return false;
  for (absl::string_view part : absl::StrSplit(relative, '/')) {
    if (part == "..") return false;
  }
  return true;
}

}  // namespace wanlite
