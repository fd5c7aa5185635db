// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The only door to the disk. Everything that reads or writes files goes through an Env, so that
// tests can run on a disk in memory, on one that fails at the k-th write, and on one that is full.
#ifndef WANLITE_ENV_H_
#define WANLITE_ENV_H_

#include <cstdint>
#include <functional>
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
  // Hint: the bytes [offset, offset+length) will be read soon. May wait for the disk. The default
  // does nothing.
  virtual void Prefetch(uint64_t offset, uint64_t length) const {}
  // The bytes [offset, offset+length) of the file mapped once more, apart from this mapping and
  // from all others: changes to either are not seen by the other. OutOfRange beyond the file's end.
  // On a disk it costs memory only for what is changed.
  virtual absl::StatusOr<std::shared_ptr<const FileMapping>> MapAgain(uint64_t offset,
                                                                      uint64_t length) const = 0;
};

// An exclusive lock, held while it lives. The system drops it when the process ends, however it
// ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// What a name stands for, links not followed.
enum class PathKind { kNothing, kFile, kFolder, kLink, kOther };

// What changes when a file is written to or replaced.
struct FileStamp {
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  uint64_t inode = 0;
  bool operator==(const FileStamp&) const = default;
};

// Thread-safe. Paths are POSIX paths; NotFound when a file or its folder does not exist,
// ResourceExhausted when the disk is full, PermissionDenied as the system says.
class Env {
 public:
  virtual ~Env() = default;
  // A file that is not there yet: AlreadyExists when anything has its name, a link that leads
  // nowhere too. So no file of anyone is ever cut short, and no link followed.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(absl::string_view path) = 0;
  virtual absl::StatusOr<std::shared_ptr<const FileMapping>> Map(absl::string_view path) = 0;
  virtual absl::StatusOr<uint64_t> FileSize(absl::string_view path) = 0;
  virtual bool FileExists(absl::string_view path) = 0;
  virtual bool FolderExists(absl::string_view path) = 0;
  // InvalidArgument for a name that cannot be, such as one that is too long.
  virtual absl::StatusOr<PathKind> KindOf(absl::string_view path) = 0;
  virtual absl::StatusOr<FileStamp> Stamp(absl::string_view path) = 0;
  // The path with its links followed and its dots resolved, as far as it exists.
  virtual absl::StatusOr<std::string> ResolvePath(absl::string_view path) = 0;
  // Whether Rename() can move things between two folders.
  virtual absl::StatusOr<bool> OnOneFileSystem(absl::string_view a, absl::string_view b) = 0;
  // Names (not paths) in a folder, sorted, without "." and "..".
  virtual absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path) = 0;
  // Creates the folder and its parents; OK when it is there already.
  virtual absl::Status CreateFolders(absl::string_view path) = 0;
  // One new folder: AlreadyExists when anything has its name.
  virtual absl::Status CreateFolder(absl::string_view path) = 0;
  // Atomic replacement of a file, or of an absent folder by a folder. Replaces neither devices nor
  // pipes.
  virtual absl::Status Rename(absl::string_view from, absl::string_view to) = 0;
  // A second name for the file `from`, links followed: a hard link, which appears at once and holds
  // no data of its own. AlreadyExists when anything is at `to`; Unimplemented where these two paths
  // cannot share a file (two file systems, one without hard links, a file of someone else), so that
  // it must be copied.
  virtual absl::Status Link(absl::string_view from, absl::string_view to) = 0;
  virtual absl::Status RemoveFile(absl::string_view path) = 0;
  // An empty folder.
  virtual absl::Status RemoveFolder(absl::string_view path) = 0;
  // Removes a file or folder with all it holds; OK when it is absent. Does not follow links.
  virtual absl::Status RemoveAll(absl::string_view path) = 0;
  // Makes renames and creations inside the folder durable.
  virtual absl::Status SyncFolder(absl::string_view path) = 0;
  // Takes the lock on the file `path`, which is created when absent and may be removed while
  // locked. Unavailable when someone else, in this process or another, holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) = 0;

  // Reads a whole file; InvalidArgument when it is larger than max_bytes.
  absl::StatusOr<std::string> ReadFile(absl::string_view path, uint64_t max_bytes = 64u << 20);
  // Durable publish of a whole file, replacing one that is there: see AtomicFile.
  absl::Status WriteFileAtomically(absl::string_view path, absl::string_view contents);
  // A folder that appears at `path` when it is complete: `fill` gets a new folder beside it, which
  // is then renamed, or removed after an error. AlreadyExists when anything is at `path`, before
  // `fill` is called or, if someone else made it meanwhile, after.
  absl::Status WriteFolderAtomically(absl::string_view path,
                                     const std::function<absl::Status(const std::string&)>& fill);

  // AlreadyExists when anything is at `path`, a link that leads nowhere too; InvalidArgument when
  // nothing can be there.
  absl::Status CheckAbsent(absl::string_view path);
  // Said before hours of work, not after: that a file, or a new folder, can be published at `path`.
  absl::Status CheckOutputFile(absl::string_view path);
  absl::Status CheckOutputFolder(absl::string_view path);
};

// A file that appears at `path` whole and durably, or not at all: until Publish() it has a name of
// its own beside it, TemporaryPath(), so that two writers of one path never meet in one file.
// Destruction without Publish() removes it. Not thread-safe.
class AtomicFile {
 public:
  // InvalidArgument when `path` is a folder or can be no file's name.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(Env& env, absl::string_view path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  absl::Status Append(absl::string_view data) { return file_->Append(data); }
  // Once, at the end: syncs, renames over `path`, syncs the folder.
  absl::Status Publish();

 private:
  AtomicFile(Env& env, absl::string_view path) : env_(env), path_(path) {}
  Env& env_;
  const std::string path_;
  std::string temporary_;  // empty when published
  std::unique_ptr<WritableFile> file_;
};

// The disk of this machine. Never destroyed.
Env& PosixEnv();

// An empty disk in memory.
std::unique_ptr<Env> NewMemEnv();

// A disk over `base` (not owned) that counts writes (appends, syncs, renames, creations, removals)
// and fails the `fail_at`-th (counted from 0) and all later ones with ResourceExhausted, as a
// killed process or a full disk would. fail_at < 0 never fails. The failing append writes half of
// its data.
class FaultEnv : public Env {
 public:
  // How many writes were asked for so far.
  virtual int64_t writes() const = 0;
};
std::unique_ptr<FaultEnv> NewFaultEnv(Env& base, int64_t fail_at);

// A new name beside `path` for what will be renamed to it: "NAME.0123456789abcdef.tmp".
std::string TemporaryPath(absl::string_view path);
// Whether `name` is one that TemporaryPath(target) gives; for any target when it is empty.
bool IsTemporaryName(absl::string_view name, absl::string_view target = "");
// Removes what AtomicFile and WriteFolderAtomically of this process are at; for a process that is
// about to end without unwinding.
void RemoveTemporaries();

// Path helpers.
std::string JoinPath(absl::string_view a, absl::string_view b);
std::string Dirname(absl::string_view path);
std::string Basename(absl::string_view path);
// Without the slashes at its end.
std::string WithoutTrailingSlashes(absl::string_view path);
// True when `path` is `folder` or below it; both as ResolvePath() gives them.
bool IsInside(absl::string_view path, absl::string_view folder);
// True when `relative` is a plain relative path that stays inside its folder: not empty, not
// absolute, no "..", no NUL, no backslash.
bool IsSafeRelativePath(absl::string_view relative);

}  // namespace wanlite

#endif  // WANLITE_ENV_H_
