// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A disk over another one, for those that change some of what it does.
#ifndef WANLITE_SRC_CORE_FORWARDING_ENV_H_
#define WANLITE_SRC_CORE_FORWARDING_ENV_H_

#include <memory>
#include <string>
#include <vector>

#include "wanlite/env.h"

namespace wanlite {

// `Interface` is Env or a class below it.
template <typename Interface>
class ForwardingEnv : public Interface {
 public:
  explicit ForwardingEnv(Env& base) : base_(base) {}

  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(absl::string_view path) override {
    return base_.NewWritableFile(path);
  }
  absl::StatusOr<std::shared_ptr<const FileMapping>> Map(absl::string_view path) override {
    return base_.Map(path);
  }
  absl::StatusOr<uint64_t> FileSize(absl::string_view path) override {
    return base_.FileSize(path);
  }
  bool FileExists(absl::string_view path) override { return base_.FileExists(path); }
  bool FolderExists(absl::string_view path) override { return base_.FolderExists(path); }
  absl::StatusOr<PathKind> KindOf(absl::string_view path) override { return base_.KindOf(path); }
  absl::StatusOr<FileStamp> Stamp(absl::string_view path) override { return base_.Stamp(path); }
  absl::StatusOr<std::string> ResolvePath(absl::string_view path) override {
    return base_.ResolvePath(path);
  }
  absl::StatusOr<bool> OnOneFileSystem(absl::string_view a, absl::string_view b) override {
    return base_.OnOneFileSystem(a, b);
  }
  absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path) override {
    return base_.ListFolder(path);
  }
  absl::Status CreateFolders(absl::string_view path) override { return base_.CreateFolders(path); }
  absl::Status CreateFolder(absl::string_view path) override { return base_.CreateFolder(path); }
  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    return base_.Rename(from, to);
  }
  absl::Status Link(absl::string_view from, absl::string_view to) override {
    return base_.Link(from, to);
  }
  absl::Status RemoveFile(absl::string_view path) override { return base_.RemoveFile(path); }
  absl::Status RemoveFolder(absl::string_view path) override { return base_.RemoveFolder(path); }
  absl::Status RemoveAll(absl::string_view path) override { return base_.RemoveAll(path); }
  absl::Status SyncFolder(absl::string_view path) override { return base_.SyncFolder(path); }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) override {
    return base_.Lock(path);
  }

 protected:
  Env& base_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_FORWARDING_ENV_H_
