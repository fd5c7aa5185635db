// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A disk that dies at a chosen write, for tests of durability.
#include <atomic>

#include "absl/strings/str_cat.h"
#include "src/core/forwarding_env.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Counts writes; shared by the files of one FaultEnv.
class Fuse {
 public:
  explicit Fuse(int64_t fail_at) : fail_at_(fail_at) {}
  // Counts one write; an error from the fail_at-th on.
  absl::Status Burn(absl::string_view path, absl::string_view what) {
    const int64_t write = writes_.fetch_add(1);
    if (fail_at_ < 0 || write < fail_at_) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": cannot ", what, ": injected fault at write ", fail_at_));
  }
  // True when the latest counted write was the first to fail.
  bool blew_just_now() const { return writes_.load() == fail_at_ + 1; }
  int64_t writes() const { return writes_.load(); }

 private:
  const int64_t fail_at_;
  std::atomic<int64_t> writes_{0};
};

class FaultFile : public WritableFile {
 public:
  FaultFile(std::string path, std::unique_ptr<WritableFile> file, std::shared_ptr<Fuse> fuse)
      : path_(std::move(path)), file_(std::move(file)), fuse_(std::move(fuse)) {}
  absl::Status Append(absl::string_view data) override {
    if (absl::Status status = fuse_->Burn(path_, "write"); !status.ok()) {
      // A write that is cut short leaves its first part on the disk.
      if (fuse_->blew_just_now()) file_->Append(data.substr(0, data.size() / 2)).IgnoreError();
      return status;
    }
    return file_->Append(data);
  }
  absl::Status Sync() override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path_, "sync"));
    return file_->Sync();
  }
  absl::Status Close() override { return file_->Close(); }

 private:
  std::string path_;
  std::unique_ptr<WritableFile> file_;
  std::shared_ptr<Fuse> fuse_;
};

class FaultEnvImpl : public ForwardingEnv<FaultEnv> {
 public:
  FaultEnvImpl(Env& base, int64_t fail_at)
      : ForwardingEnv(base), fuse_(std::make_shared<Fuse>(fail_at)) {}
  int64_t writes() const override { return fuse_->writes(); }

  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(absl::string_view path) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path, "create"));
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, base_.NewWritableFile(path));
    return std::make_unique<FaultFile>(std::string(path), std::move(file), fuse_);
  }
  absl::Status CreateFolders(absl::string_view path) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path, "create folder"));
    return base_.CreateFolders(path);
  }
  absl::Status CreateFolder(absl::string_view path) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path, "create folder"));
    return base_.CreateFolder(path);
  }
  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(from, absl::StrCat("rename to ", to)));
    return base_.Rename(from, to);
  }
  absl::Status Link(absl::string_view from, absl::string_view to) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(from, absl::StrCat("link to ", to)));
    return base_.Link(from, to);
  }
  absl::Status RemoveFile(absl::string_view path) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path, "remove"));
    return base_.RemoveFile(path);
  }
  absl::Status RemoveFolder(absl::string_view path) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path, "remove"));
    return base_.RemoveFolder(path);
  }
  absl::Status RemoveAll(absl::string_view path) override {
    if (absl::Status status = fuse_->Burn(path, "remove"); !status.ok()) {
      if (fuse_->blew_just_now()) RemoveHalf(path);
      return status;
    }
    return base_.RemoveAll(path);
  }
  absl::Status SyncFolder(absl::string_view path) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path, "sync folder"));
    return base_.SyncFolder(path);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) override {
    WANLITE_RETURN_IF_ERROR(fuse_->Burn(path, "create lock"));
    return base_.Lock(path);
  }

 private:
  // Removing a folder takes many steps; one that is cut short leaves some of the entries.
  void RemoveHalf(absl::string_view path) {
    const absl::StatusOr<std::vector<std::string>> names = base_.ListFolder(path);
    if (!names.ok()) return;
    for (size_t i = 0; i < names->size() / 2; ++i) {
      base_.RemoveAll(JoinPath(path, (*names)[i])).IgnoreError();
    }
  }

  std::shared_ptr<Fuse> fuse_;
};

}  // namespace

std::unique_ptr<FaultEnv> NewFaultEnv(Env& base, int64_t fail_at) {
  return std::make_unique<FaultEnvImpl>(base, fail_at);
}

}  // namespace wanlite
