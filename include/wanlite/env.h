// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The only door to the disk. Everything that reads or writes files goes through an Env, so that tests
// can run on a disk in memory, on one that fails at the k-th write, and on one that is full.
#ifndef WANLITE_ENV_H_
#define WANLITE_ENV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace wanlite {

// A file being written. Not thread-safe. Destruction without Close() abandons the file as it is.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual absl::Status Append(absl::string_view data) = 0;
  // Blocks until what was appended is on stable storage (fsync).
  virtual absl::Status Sync() = 0;
  virtual absl::Status Close() = 0;
};

// The bytes of a whole file, mapped. Writing to data() changes a private copy, never the file.
class FileMapping {
 public:
  virtual ~FileMapping() = default;
  virtual absl::Span<char> data() const = 0;
  // Hint: the pages of [offset, offset+length) may leave memory; they come back when touched, and
  // private changes to them are lost.
  virtual void Release(uint64_t offset, uint64_t length) const = 0;
  // The bytes [offset, offset+length) of the file mapped once more, apart from this mapping and from
  // all others: changes to either are not seen by the other. OutOfRange beyond the file's end. On a
  // disk it costs memory only for what is changed.
  virtual absl::StatusOr<std::shared_ptr<const FileMapping>> MapAgain(uint64_t offset,
                                                                      uint64_t length) const = 0;
};

// An exclusive lock, held while it lives. The system drops it when the process ends, however it ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Thread-safe. Paths are POSIX paths; NotFound when a file or its folder does not exist,
// ResourceExhausted when the disk is full, PermissionDenied as the system says.
class Env {
 public:
  virtual ~Env() = default;
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(absl::string_view path) = 0;
  virtual absl::StatusOr<std::shared_ptr<const FileMapping>> Map(absl::string_view path) = 0;
  virtual absl::StatusOr<uint64_t> FileSize(absl::string_view path) = 0;
  virtual bool FileExists(absl::string_view path) = 0;
  virtual bool FolderExists(absl::string_view path) = 0;
  // Names (not paths) in a folder, sorted, without "." and "..".
  virtual absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path) = 0;
  // Creates the folder and its parents; OK when it is there already.
  virtual absl::Status CreateFolders(absl::string_view path) = 0;
  // Atomic replacement of a file, or of an absent folder by a folder.
  virtual absl::Status Rename(absl::string_view from, absl::string_view to) = 0;
  virtual absl::Status RemoveFile(absl::string_view path) = 0;
  // Removes a file or folder with all it holds; OK when it is absent. Does not follow links.
  virtual absl::Status RemoveAll(absl::string_view path) = 0;
  // Makes renames and creations inside the folder durable.
  virtual absl::Status SyncFolder(absl::string_view path) = 0;
  // Takes the lock on the file `path`, which is created when absent and may be removed while locked.
  // Unavailable when someone else, in this process or another, holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) = 0;

  // Reads a whole file; InvalidArgument when it is larger than max_bytes.
  absl::StatusOr<std::string> ReadFile(absl::string_view path, uint64_t max_bytes = 64u << 20);
  // Durable publish: writes "path.tmp", syncs, renames over `path`, syncs the folder.
  absl::Status WriteFileAtomically(absl::string_view path, absl::string_view contents);
};

// The disk of this machine. Never destroyed.
Env& PosixEnv();

// An empty disk in memory.
std::unique_ptr<Env> NewMemEnv();

// A disk over `base` (not owned) that counts writes (appends, syncs, renames, creations, removals) and
// fails the `fail_at`-th (counted from 0) and all later ones with ResourceExhausted, as a killed
// process or a full disk would. fail_at < 0 never fails. The failing append writes half of its data.
class FaultEnv : public Env {
 public:
  // How many writes were asked for so far.
  virtual int64_t writes() const = 0;
};
std::unique_ptr<FaultEnv> NewFaultEnv(Env& base, int64_t fail_at);

// Path helpers.
std::string JoinPath(absl::string_view a, absl::string_view b);
std::string Dirname(absl::string_view path);
std::string Basename(absl::string_view path);
// True when `relative` is a plain relative path that stays inside its folder: not empty, not absolute,
// no "..", no NUL, no backslash.
bool IsSafeRelativePath(absl::string_view relative);

}  // namespace wanlite

#endif  // WANLITE_ENV_H_
