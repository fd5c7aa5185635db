// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What every Env shares: whole-file helpers over its virtual functions, and path helpers.
#include "wanlite/env.h"

#include <atomic>
#include <map>
#include <mutex>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr absl::string_view kTemporary = ".tmp";
// Longer names would not leave room for the rest of a temporary one.
constexpr size_t kLongestNamedTemporary = 200;

// What this process has in the making.
class TemporarySet {
 public:
  void Add(Env& env, const std::string& path) {
    const std::lock_guard<std::mutex> lock(mutex_);
    paths_[path] = &env;
  }
  void Forget(const std::string& path) {
    const std::lock_guard<std::mutex> lock(mutex_);
    paths_.erase(path);
  }
  void RemoveAll() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [path, env] : paths_) env->RemoveAll(path).IgnoreError();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Env*> paths_;
};

TemporarySet& Temporaries() {
  static TemporarySet& set = *new TemporarySet;
  return set;
}

// A new name beside `path` at which `make` made something.
absl::StatusOr<std::string> NewTemporary(
    Env& env, absl::string_view path, const std::function<absl::Status(const std::string&)>& make) {
  constexpr int kTries = 16;
  for (int i = 1;; ++i) {
    std::string temporary = TemporaryPath(path);
    // Listed before it is there, so that it is never there unlisted.
    Temporaries().Add(env, temporary);
    const absl::Status made = make(temporary);
    if (made.ok()) return temporary;
    Temporaries().Forget(temporary);
    if (!absl::IsAlreadyExists(made) || i == kTries) return made;
  }
}

// What is at a path where something is to be made, which must have a name.
absl::StatusOr<PathKind> KindOfNamed(Env& env, absl::string_view path) {
  const std::string name = Basename(path);
  if (name.empty() || name == "." || name == ".." || name == "/") {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' ends in no name that could be given to an output"));
  }
  return env.KindOf(path);
}

absl::Status CheckFileName(Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(const PathKind kind, KindOfNamed(env, path));
  if (kind == PathKind::kFolder || absl::EndsWith(path, "/")) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is a folder, not a file"));
  }
  if (kind == PathKind::kOther) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is a device or a pipe, wanted the name of a file"));
  }
  return absl::OkStatus();
}

}  // namespace

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
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(*this, path));
  WANLITE_RETURN_IF_ERROR(file->Append(contents));
  return file->Publish();
}

absl::Status Env::WriteFolderAtomically(
    absl::string_view path, const std::function<absl::Status(const std::string&)>& fill) {
  const std::string target = WithoutTrailingSlashes(path);
  WANLITE_RETURN_IF_ERROR(CheckAbsent(target));
  WANLITE_RETURN_IF_ERROR(CreateFolders(Dirname(target)));
  WANLITE_ASSIGN_OR_RETURN(
      const std::string temporary,
      NewTemporary(*this, target, [&](const std::string& name) { return CreateFolder(name); }));
  const auto write = [&]() -> absl::Status {
    WANLITE_RETURN_IF_ERROR(fill(temporary));
    absl::Status renamed = Rename(temporary, target);
    if (!absl::IsAlreadyExists(renamed)) return renamed;
    return absl::AlreadyExistsError(
        absl::StrCat(target, ": exists already, someone else made it meanwhile"));
  };
  const absl::Status status = write();
  // The first error is the one worth reporting.
  if (!status.ok()) RemoveAll(temporary).IgnoreError();
  Temporaries().Forget(temporary);
  if (!status.ok()) return status;
  return SyncFolder(Dirname(target));
}

absl::Status Env::CheckAbsent(absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(const PathKind kind, KindOfNamed(*this, path));
  if (kind == PathKind::kNothing) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(path, ": exists already"));
}

absl::Status Env::CheckOutputFile(absl::string_view path) {
  if (const std::string folder = Dirname(path); !FolderExists(folder)) {
    return absl::NotFoundError(absl::StrCat("'", path, "': there is no folder '", folder, "'"));
  }
  // The surest way to know that a file can be made is to make one; it goes at once.
  return AtomicFile::Create(*this, path).status();
}

absl::Status Env::CheckOutputFolder(absl::string_view path) {
  const std::string target = WithoutTrailingSlashes(path);
  WANLITE_RETURN_IF_ERROR(CheckAbsent(target));
  WANLITE_RETURN_IF_ERROR(CreateFolders(Dirname(target)));
  return AtomicFile::Create(*this, target).status();
}

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(Env& env, absl::string_view path) {
  WANLITE_RETURN_IF_ERROR(CheckFileName(env, path));
  std::unique_ptr<AtomicFile> file(new AtomicFile(env, path));
  WANLITE_ASSIGN_OR_RETURN(file->temporary_,
                           NewTemporary(env, path, [&](const std::string& name) -> absl::Status {
                             WANLITE_ASSIGN_OR_RETURN(file->file_, env.NewWritableFile(name));
                             return absl::OkStatus();
                           }));
  return file;
}

AtomicFile::~AtomicFile() {
  if (temporary_.empty()) return;
  // The disk may be full, so what was written goes away again.
  file_.reset();
  env_.RemoveFile(temporary_).IgnoreError();
  Temporaries().Forget(temporary_);
}

absl::Status AtomicFile::Publish() {
  WANLITE_RETURN_IF_ERROR(file_->Sync());
  WANLITE_RETURN_IF_ERROR(file_->Close());
  WANLITE_RETURN_IF_ERROR(env_.Rename(temporary_, path_));
  Temporaries().Forget(temporary_);
  temporary_.clear();
  return env_.SyncFolder(Dirname(path_));
}

std::string TemporaryPath(absl::string_view path) {
  // Seeded once for each process; that a name is nobody's is seen when it is taken.
  static const uint64_t seed = [] {
    std::random_device device;
    return (uint64_t{device()} << 32) ^ device();
  }();
  static std::atomic<uint64_t> count{0};
  uint64_t number = seed + (++count) * 0x9e3779b97f4a7c15u;
  number = (number ^ (number >> 31)) * 0xbf58476d1ce4e5b9u;
  number ^= number >> 29;
  const std::string name = Basename(path);
  return JoinPath(Dirname(path),
                  absl::StrCat(name.size() > kLongestNamedTemporary ? "wanlite" : name, ".",
                               absl::Hex(number, absl::kZeroPad16), kTemporary));
}

bool IsTemporaryName(absl::string_view name, absl::string_view target) {
  constexpr size_t kDigits = 16;
  if (!absl::ConsumeSuffix(&name, kTemporary) || name.size() < kDigits + 2) return false;
  for (const char digit : name.substr(name.size() - kDigits)) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(digit)) && (digit < 'a' || digit > 'f')) {
      return false;
    }
  }
  name.remove_suffix(kDigits);
  return absl::ConsumeSuffix(&name, ".") && (target.empty() || name == target);
}

void RemoveTemporaries() { Temporaries().RemoveAll(); }

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

std::string WithoutTrailingSlashes(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path);
}

bool IsInside(absl::string_view path, absl::string_view folder) {
  if (folder == "/") return absl::StartsWith(path, "/");
  return path == folder || absl::StartsWith(path, absl::StrCat(folder, "/"));
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
