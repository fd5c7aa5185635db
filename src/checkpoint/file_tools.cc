// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/file_tools.h"

#include <functional>
#include <memory>

#include "src/core/sha256.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// A multiple of every page size in use.
constexpr uint64_t kPieceBytes = uint64_t{4} << 20;

absl::Status ForEachPiece(Env& env, const std::string& path,
                          const std::function<absl::Status(absl::string_view)>& use) {
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const FileMapping> mapping, env.Map(path));
  const absl::string_view data(mapping->data().data(), mapping->data().size());
  for (uint64_t at = 0; at < data.size(); at += kPieceBytes) {
    const absl::string_view piece = data.substr(at, kPieceBytes);
    WANLITE_RETURN_IF_ERROR(use(piece));
    mapping->Release(at, piece.size());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> HashFile(Env& env, const std::string& path,
                                     const CancellationToken* cancel) {
  Sha256 hash;
  WANLITE_RETURN_IF_ERROR(ForEachPiece(env, path, [&](absl::string_view piece) {
    hash.Update(piece);
    return CheckCancelled(cancel);
  }));
  return hash.Finish();
}

absl::Status CopyFile(Env& env, const std::string& from, const std::string& to) {
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(env, to));
  WANLITE_RETURN_IF_ERROR(
      ForEachPiece(env, from, [&](absl::string_view piece) { return file->Append(piece); }));
  return file->Publish();
}

}  // namespace wanlite
