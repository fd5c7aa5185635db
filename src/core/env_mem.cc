// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A disk in memory, for tests.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

// A file lives as long as its name, a mapping or a lock does, as on a real disk.
struct MemFile {
  std::mutex mutex;
  std::string bytes;
  bool locked = false;
  // No other file ever has the number.
  const uint64_t number = [] {
    static std::atomic<uint64_t> count{0};
    return ++count;
  }();
  int64_t writes = 0;  // stands for the time of the last one
};

// As on the file systems of Linux.
constexpr size_t kLongestName = 255;

std::string Normalize(absl::string_view path) {
  std::string normal = std::filesystem::path(std::string(path)).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal == "." ? "" : normal;
}

std::string Parent(const std::string& normal) {
  const size_t slash = normal.rfind('/');
  if (slash == std::string::npos) return "";
  return slash == 0 ? "/" : normal.substr(0, slash);
}

class MemWritableFile : public WritableFile {
 public:
  explicit MemWritableFile(std::shared_ptr<MemFile> file) : file_(std::move(file)) {}
  absl::Status Append(absl::string_view data) override {
    const std::lock_guard<std::mutex> lock(file_->mutex);
    file_->bytes.append(data.data(), data.size());
    ++file_->writes;
    return absl::OkStatus();
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  std::shared_ptr<MemFile> file_;
};

class MemMapping : public FileMapping {
 public:
  explicit MemMapping(std::shared_ptr<MemFile> file) : file_(std::move(file)) {
    const std::lock_guard<std::mutex> lock(file_->mutex);
    copy_ = file_->bytes;
  }
  absl::Span<char> data() const override { return absl::MakeSpan(copy_.data(), copy_.size()); }

  // Loses private changes on the pages that the posix disk would drop.
  void Release(uint64_t offset, uint64_t length) const override {
    constexpr uint64_t kPage = 4096;
    const uint64_t size = copy_.size();
    if (offset >= size) return;
    uint64_t end = length > size - offset ? size : offset + length;
    const uint64_t begin = (offset + kPage - 1) / kPage * kPage;
    if (end < size) end = end / kPage * kPage;
    const std::lock_guard<std::mutex> lock(file_->mutex);
    end = std::min<uint64_t>(end, file_->bytes.size());
    if (begin < end) std::copy_n(file_->bytes.data() + begin, end - begin, copy_.data() + begin);
  }

  absl::StatusOr<std::shared_ptr<const FileMapping>> MapAgain(uint64_t offset,
                                                              uint64_t length) const override {
    const std::lock_guard<std::mutex> lock(file_->mutex);
    if (offset > file_->bytes.size() || length > file_->bytes.size() - offset) {
      return absl::OutOfRangeError(absl::StrCat("bytes [", offset, ", ", offset, " + ", length,
                                                ") of ", file_->bytes.size()));
    }
    auto part = std::make_shared<MemFile>();
    part->bytes = file_->bytes.substr(offset, length);
    return std::make_shared<const MemMapping>(std::move(part));
  }

 private:
  std::shared_ptr<MemFile> file_;
  mutable std::string copy_;
};

class MemLock : public FileLock {
 public:
  explicit MemLock(std::shared_ptr<MemFile> file) : file_(std::move(file)) {}
  ~MemLock() override {
    const std::lock_guard<std::mutex> lock(file_->mutex);
    file_->locked = false;
  }

 private:
  std::shared_ptr<MemFile> file_;
};

class MemEnv : public Env {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name) || files_.count(name) > 0) return Exists(path, "create");
    if (!IsFolder(Parent(name))) return NotFound(path, "create");
    files_[name] = std::make_shared<MemFile>();
    return std::make_unique<MemWritableFile>(files_[name]);
  }

  absl::StatusOr<std::shared_ptr<const FileMapping>> Map(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name)) return IsAFolder(path);
    const auto it = files_.find(name);
    if (it == files_.end()) return NotFound(path, "open");
    return std::make_shared<const MemMapping>(it->second);
  }

  absl::StatusOr<uint64_t> FileSize(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name)) return IsAFolder(path);
    const auto it = files_.find(name);
    if (it == files_.end()) return NotFound(path, "stat");
    const std::lock_guard<std::mutex> file_lock(it->second->mutex);
    return it->second->bytes.size();
  }

  bool FileExists(absl::string_view path) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return files_.count(Normalize(path)) > 0;
  }

  bool FolderExists(absl::string_view path) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return IsFolder(Normalize(path));
  }

  absl::StatusOr<PathKind> KindOf(absl::string_view path) override {
    const std::string name = Normalize(path);
    if (Basename(name).size() > kLongestName) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": cannot stat: File name too long"));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name)) return PathKind::kFolder;
    return files_.count(name) > 0 ? PathKind::kFile : PathKind::kNothing;
  }

  absl::StatusOr<FileStamp> Stamp(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name)) return IsAFolder(path);
    const auto it = files_.find(name);
    if (it == files_.end()) return NotFound(path, "stat");
    const MemFile& file = *it->second;
    const std::lock_guard<std::mutex> file_lock(it->second->mutex);
    return FileStamp{file.bytes.size(), file.writes, file.number};
  }

  absl::StatusOr<std::string> ResolvePath(absl::string_view path) override {
    const std::string normal = Normalize(path);
    return absl::StartsWith(normal, "/") ? normal : absl::StrCat("/", normal);
  }

  absl::StatusOr<bool> OnOneFileSystem(absl::string_view, absl::string_view) override {
    return true;
  }

  absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!IsFolder(name)) return NotFound(path, "list");
    std::vector<std::string> names;
    const auto add = [&](const std::string& entry) {
      if (entry != name && Parent(entry) == name) names.push_back(Basename(entry));
    };
    for (const auto& [file, unused] : files_) add(file);
    for (const std::string& folder : folders_) add(folder);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status CreateFolders(absl::string_view path) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> missing;
    for (std::string name = Normalize(path); !IsFolder(name); name = Parent(name)) {
      if (files_.count(name) > 0) {
        return absl::AlreadyExistsError(
            absl::StrCat(path, ": cannot create folder: ", name, " is a file"));
      }
      missing.push_back(name);
    }
    folders_.insert(missing.begin(), missing.end());
    return absl::OkStatus();
  }

  absl::Status CreateFolder(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name) || files_.count(name) > 0) return Exists(path, "create folder");
    if (!IsFolder(Parent(name))) return NotFound(path, "create folder");
    folders_.insert(name);
    return absl::OkStatus();
  }

  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    const std::string source = Normalize(from);
    const std::string target = Normalize(to);
    const std::string what = absl::StrCat("rename to ", to);
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool folder = folders_.count(source) > 0;
    if (!folder && files_.count(source) == 0) return NotFound(from, what);
    if (!IsFolder(Parent(target))) return NotFound(from, what);
    if (source == target) {
      return folder ? Exists(from, what) : absl::OkStatus();
    }
    if (!folder) {
      if (IsFolder(target)) return IsAFolder(to);
      files_[target] = std::exchange(files_[source], nullptr);
      files_.erase(source);
      return absl::OkStatus();
    }
    if (IsFolder(target) || files_.count(target) > 0) {
      return Exists(from, what);
    }
    if (absl::StartsWith(target, source + "/")) {
      return absl::InvalidArgumentError(absl::StrCat(from, ": cannot ", what, ": it is inside"));
    }
    std::map<std::string, std::shared_ptr<MemFile>> files;
    for (auto& [name, file] : files_) files[Moved(name, source, target)] = file;
    files_ = std::move(files);
    std::set<std::string> folders;
    for (const std::string& name : folders_) folders.insert(Moved(name, source, target));
    folders_ = std::move(folders);
    return absl::OkStatus();
  }

  absl::Status Link(absl::string_view from, absl::string_view to) override {
    const std::string source = Normalize(from);
    const std::string target = Normalize(to);
    const std::string what = absl::StrCat("link to ", to);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(source)) return IsAFolder(from);
    const auto it = files_.find(source);
    if (it == files_.end() || !IsFolder(Parent(target))) return NotFound(from, what);
    if (IsFolder(target) || files_.count(target) > 0) return Exists(from, what);
    files_[target] = it->second;
    return absl::OkStatus();
  }

  absl::Status RemoveFile(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name)) return IsAFolder(path);
    if (files_.erase(name) == 0) return NotFound(path, "remove");
    return absl::OkStatus();
  }

  absl::Status RemoveFolder(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (folders_.count(name) == 0) return NotFound(path, "remove");
    const auto inside = [&](const std::string& entry) { return Parent(entry) == name; };
    for (const auto& [file, unused] : files_) {
      if (inside(file)) return NotEmpty(path);
    }
    for (const std::string& folder : folders_) {
      if (inside(folder)) return NotEmpty(path);
    }
    folders_.erase(name);
    return absl::OkStatus();
  }

  absl::Status RemoveAll(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto inside = [&](const std::string& entry) {
      return entry == name || absl::StartsWith(entry, name + "/");
    };
    for (auto it = files_.begin(); it != files_.end();) {
      it = inside(it->first) ? files_.erase(it) : std::next(it);
    }
    for (auto it = folders_.begin(); it != folders_.end();) {
      it = inside(*it) ? folders_.erase(it) : std::next(it);
    }
    return absl::OkStatus();
  }

  absl::Status SyncFolder(absl::string_view path) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!IsFolder(Normalize(path))) return NotFound(path, "open folder");
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) override {
    const std::string name = Normalize(path);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (IsFolder(name)) return IsAFolder(path);
    if (!IsFolder(Parent(name))) return NotFound(path, "create lock");
    std::shared_ptr<MemFile>& file = files_[name];
    if (file == nullptr) file = std::make_shared<MemFile>();
    const std::lock_guard<std::mutex> file_lock(file->mutex);
    if (file->locked)
      return absl::UnavailableError(absl::StrCat(path, ": locked by another process"));
    file->locked = true;
    return std::make_unique<MemLock>(file);
  }

 private:
  static absl::Status NotFound(absl::string_view path, absl::string_view what) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot ", what, ": No such file or directory"));
  }
  static absl::Status Exists(absl::string_view path, absl::string_view what) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": cannot ", what, ": File exists"));
  }
  static absl::Status NotEmpty(absl::string_view path) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": cannot remove: Directory not empty"));
  }
  static absl::Status IsAFolder(absl::string_view path) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is a folder, not a file"));
  }
  static std::string Moved(const std::string& name, const std::string& from,
                           const std::string& to) {
    if (name == from) return to;
    if (absl::StartsWith(name, from + "/")) return to + name.substr(from.size());
    return name;
  }
  bool IsFolder(const std::string& normal) const {
    return normal.empty() || normal == "/" || folders_.count(normal) > 0;
  }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<MemFile>> files_;
  std::set<std::string> folders_;
};

}  // namespace

std::unique_ptr<Env> NewMemEnv() { return std::make_unique<MemEnv>(); }

}  // namespace wanlite
