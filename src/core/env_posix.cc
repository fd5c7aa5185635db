// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The disk of this machine.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/posix_file.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

absl::StatusOr<Fd> Open(const std::string& path, int flags, absl::string_view what) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoStatus(errno, path, what);
  return Fd(fd);
}

// Private and writable, so that tensors may alias it; NORESERVE, or a model larger than memory
// would count as a promise of that much memory.
absl::StatusOr<void*> MapPrivate(const Fd& fd, uint64_t offset, uint64_t length,
                                 absl::string_view path) {
  void* data = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                      fd.get(), static_cast<off_t>(offset));
  if (data == MAP_FAILED) return ErrnoStatus(errno, path, "map");
  return data;
}

uint64_t PageSize() {
  static const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return page;
}

// A file that is mapped. The descriptor stays open, so that mapping again finds the same file
// whatever became of its name.
struct PosixFile {
  std::string path;
  Fd fd;
};

class PosixMapping : public FileMapping {
 public:
  // data: of `mapped` bytes, on a page; the mapping shows those from `skip` on.
  PosixMapping(std::shared_ptr<const PosixFile> file, uint64_t file_offset, void* data,
               uint64_t mapped, uint64_t skip)
      : file_(std::move(file)),
        file_offset_(file_offset),
        mapped_(data),
        mapped_bytes_(mapped),
        data_(mapped == 0 ? nullptr : static_cast<char*>(data) + skip),
        size_(mapped - skip) {}
  ~PosixMapping() override {
    if (mapped_bytes_ > 0) ::munmap(mapped_, mapped_bytes_);
  }
  absl::Span<char> data() const override { return absl::MakeSpan(data_, size_); }

  void Release(uint64_t offset, uint64_t length) const override {
    if (data_ == nullptr || offset >= size_) return;
    uint64_t end = std::min<uint64_t>(size_, length > size_ - offset ? size_ : offset + length);
    // Only whole pages: those at the borders hold bytes of neighbours that may be in use.
    const uint64_t skip = mapped_bytes_ - size_, page = PageSize();
    const uint64_t begin = (skip + offset + page - 1) / page * page;
    end = end < size_ ? (skip + end) / page * page : mapped_bytes_;
    if (begin < end) ::madvise(static_cast<char*>(mapped_) + begin, end - begin, MADV_DONTNEED);
  }

  void Prefetch(uint64_t offset, uint64_t length) const override {
    if (offset >= size_) return;
    // The system takes a few megabytes of one request and forgets the rest.
    constexpr uint64_t kPiece = uint64_t{1} << 20;
    const uint64_t end = offset + std::min<uint64_t>(length, size_ - offset);
    for (uint64_t at = offset; at < end; at += kPiece) {
      ::posix_fadvise(file_->fd.get(), static_cast<off_t>(file_offset_ + at),
                      static_cast<off_t>(std::min(kPiece, end - at)), POSIX_FADV_WILLNEED);
    }
  }

  absl::StatusOr<std::shared_ptr<const FileMapping>> MapAgain(uint64_t offset,
                                                              uint64_t length) const override {
    if (offset > size_ || length > size_ - offset) {
      return absl::OutOfRangeError(absl::StrCat(file_->path, ": bytes [", offset, ", ", offset,
                                                " + ", length, ") of ", size_));
    }
    const uint64_t at = file_offset_ + offset;
    if (length == 0) return std::make_shared<const PosixMapping>(file_, at, nullptr, 0, 0);
    const uint64_t skip = at % PageSize();
    WANLITE_ASSIGN_OR_RETURN(void* const mapped,
                             MapPrivate(file_->fd, at - skip, length + skip, file_->path));
    return std::make_shared<const PosixMapping>(file_, at, mapped, length + skip, skip);
  }

 private:
  std::shared_ptr<const PosixFile> file_;
  uint64_t file_offset_;
  void* mapped_;
  uint64_t mapped_bytes_;
  char* data_;
  size_t size_;
};

class PosixLock : public FileLock {
 public:
  explicit PosixLock(Fd fd) : fd_(std::move(fd)) {}

 private:
  Fd fd_;  // the lock goes with the descriptor
};

class PosixEnvImpl : public Env {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(absl::string_view path) override {
    const std::string name(path);
    WANLITE_ASSIGN_OR_RETURN(Fd fd, Open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, "create"));
    return NewPosixWritableFile(name, std::move(fd));
  }

  absl::StatusOr<std::shared_ptr<const FileMapping>> Map(absl::string_view path) override {
    const std::string name(path);
    // O_NONBLOCK: a named pipe must be refused, not waited for.
    WANLITE_ASSIGN_OR_RETURN(Fd fd, Open(name, O_RDONLY | O_NONBLOCK, "open"));
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, name, "stat");
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, S_ISDIR(info.st_mode) ? ": is a folder, not a file" : ": is not a file"));
    }
    const size_t size = static_cast<size_t>(info.st_size);
    const auto file = std::make_shared<const PosixFile>(PosixFile{name, std::move(fd)});
    if (size == 0) return std::make_shared<const PosixMapping>(file, 0, nullptr, 0, 0);
    WANLITE_ASSIGN_OR_RETURN(void* const data, MapPrivate(file->fd, 0, size, name));
    return std::make_shared<const PosixMapping>(file, 0, data, size, 0);
  }

  absl::StatusOr<uint64_t> FileSize(absl::string_view path) override {
    struct stat info;
    const std::string name(path);
    if (::stat(name.c_str(), &info) != 0) return ErrnoStatus(errno, name, "stat");
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, S_ISDIR(info.st_mode) ? ": is a folder, not a file" : ": is not a file"));
    }
    return static_cast<uint64_t>(info.st_size);
  }

  bool FileExists(absl::string_view path) override {
    struct stat info;
    return ::stat(std::string(path).c_str(), &info) == 0 && S_ISREG(info.st_mode);
  }

  bool FolderExists(absl::string_view path) override {
    struct stat info;
    return ::stat(std::string(path).c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  absl::StatusOr<PathKind> KindOf(absl::string_view path) override {
    struct stat info;
    const std::string name(path);
    if (::lstat(name.c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return PathKind::kNothing;
      return ErrnoStatus(errno, name, "stat");
    }
    if (S_ISREG(info.st_mode)) return PathKind::kFile;
    if (S_ISDIR(info.st_mode)) return PathKind::kFolder;
    return S_ISLNK(info.st_mode) ? PathKind::kLink : PathKind::kOther;
  }

  absl::StatusOr<FileStamp> Stamp(absl::string_view path) override {
    struct stat info;
    const std::string name(path);
    if (::stat(name.c_str(), &info) != 0) return ErrnoStatus(errno, name, "stat");
    constexpr int64_t kNanosecond = 1000000000;
    return FileStamp{static_cast<uint64_t>(info.st_size),
                     info.st_mtim.tv_sec * kNanosecond + info.st_mtim.tv_nsec, info.st_ino};
  }

  absl::StatusOr<std::string> ResolvePath(absl::string_view path) override {
    std::error_code error;
    const std::filesystem::path resolved =
        std::filesystem::weakly_canonical(std::filesystem::path(std::string(path)), error);
    if (error) return ErrnoStatus(error.value(), path, "resolve");
    // A path whose first part is not there stays relative.
    const std::filesystem::path absolute = std::filesystem::absolute(resolved, error);
    if (error) return ErrnoStatus(error.value(), path, "resolve");
    return WithoutTrailingSlashes(absolute.string());
  }

  absl::StatusOr<bool> OnOneFileSystem(absl::string_view a, absl::string_view b) override {
    struct stat first, second;
    const std::string from(a);
    const std::string to(b);
    if (::stat(from.c_str(), &first) != 0) return ErrnoStatus(errno, from, "stat");
    if (::stat(to.c_str(), &second) != 0) return ErrnoStatus(errno, to, "stat");
    if (first.st_dev != second.st_dev) return false;
    // Two mounts of one file system are two to a rename. Nothing can be renamed to ".", which the
    // system says only after it has compared the mounts.
    const std::string source = JoinPath(from, "nothing");
    const std::string target = JoinPath(to, ".");
    return ::rename(source.c_str(), target.c_str()) == 0 || errno != EXDEV;
  }

  absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path) override {
    const std::string name(path);
    DIR* dir = ::opendir(name.c_str());
    if (dir == nullptr) return ErrnoStatus(errno, name, "list");
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(dir)) {
      const absl::string_view entry_name = entry->d_name;
      if (entry_name != "." && entry_name != "..") names.emplace_back(entry_name);
      errno = 0;
    }
    const int error = errno;
    ::closedir(dir);
    if (error != 0) return ErrnoStatus(error, name, "list");
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status CreateFolders(absl::string_view path) override {
    const std::string name(path);
    if (name.empty() || FolderExists(name)) return absl::OkStatus();
    const std::string parent = Dirname(name);
    if (parent != name) WANLITE_RETURN_IF_ERROR(CreateFolders(parent));
    if (::mkdir(name.c_str(), 0777) != 0) {
      // Someone else may have made it meanwhile.
      if (errno == EEXIST && FolderExists(name)) return absl::OkStatus();
      return ErrnoStatus(errno, name, "create folder");
    }
    return SyncFolder(parent);
  }

  absl::Status CreateFolder(absl::string_view path) override {
    const std::string name(path);
    if (::mkdir(name.c_str(), 0777) != 0) return ErrnoStatus(errno, name, "create folder");
    return SyncFolder(Dirname(name));
  }

  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    const std::string source(from);
    const std::string target(to);
    const std::string what = absl::StrCat("rename to ", target);
    if (!FolderExists(source)) {
      WANLITE_ASSIGN_OR_RETURN(const PathKind kind, KindOf(target));
      if (kind == PathKind::kOther) return ErrnoStatus(EEXIST, source, what);
      if (::rename(source.c_str(), target.c_str()) != 0) return ErrnoStatus(errno, source, what);
      return absl::OkStatus();
    }
    // rename() would replace an empty folder; a folder is only ever published where nothing is.
    if (::renameat2(AT_FDCWD, source.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0) {
      return absl::OkStatus();
    }
    if (errno != EINVAL && errno != ENOSYS) return ErrnoStatus(errno, source, what);
    // The file system lacks the flag.
    struct stat info;
    if (::lstat(target.c_str(), &info) == 0) return ErrnoStatus(EEXIST, source, what);
    if (::rename(source.c_str(), target.c_str()) != 0) return ErrnoStatus(errno, source, what);
    return absl::OkStatus();
  }

  absl::Status Link(absl::string_view from, absl::string_view to) override {
    const std::string source(from);
    const std::string target(to);
    const std::string what = absl::StrCat("link to ", target);
    if (::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, target.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      return absl::OkStatus();
    }
    switch (errno) {
      case EXDEV:
      case EPERM:  // no hard links here, or the system keeps users from linking files of others
      case EACCES:
      case EMLINK:
      case ENOSYS:
      case EOPNOTSUPP: {
        absl::Status status = ErrnoStatus(errno, source, what);
        return absl::UnimplementedError(status.message());
      }
      default:
        return ErrnoStatus(errno, source, what);
    }
  }

  absl::Status RemoveFile(absl::string_view path) override {
    const std::string name(path);
    if (::unlink(name.c_str()) != 0) return ErrnoStatus(errno, name, "remove");
    return absl::OkStatus();
  }

  absl::Status RemoveFolder(absl::string_view path) override {
    const std::string name(path);
    if (::rmdir(name.c_str()) != 0) return ErrnoStatus(errno, name, "remove");
    return absl::OkStatus();
  }

  absl::Status RemoveAll(absl::string_view path) override {
    std::error_code error;
    std::filesystem::remove_all(std::filesystem::path(std::string(path)), error);
    if (error && error.value() != ENOENT) return ErrnoStatus(error.value(), path, "remove");
    return absl::OkStatus();
  }

  absl::Status SyncFolder(absl::string_view path) override {
    const std::string name(path);
    WANLITE_ASSIGN_OR_RETURN(Fd fd, Open(name, O_RDONLY | O_DIRECTORY, "open folder"));
    // EINVAL: a file system that cannot sync folders has nothing to lose by it.
    if (::fsync(fd.get()) != 0 && errno != EINVAL) return ErrnoStatus(errno, name, "sync folder");
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) override {
    const std::string name(path);
    while (true) {
      WANLITE_ASSIGN_OR_RETURN(Fd fd, Open(name, O_RDWR | O_CREAT | O_NOFOLLOW, "create lock"));
      if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno == EWOULDBLOCK) {
          return absl::UnavailableError(absl::StrCat(name, ": locked by another process"));
        }
        return ErrnoStatus(errno, name, "lock");
      }
      // A former owner may have removed the file between our open and our lock; then the lock is on
      // a file that nobody else will find.
      struct stat ours;
      struct stat now;
      if (::fstat(fd.get(), &ours) == 0 && ::stat(name.c_str(), &now) == 0 &&
          ours.st_ino == now.st_ino && ours.st_dev == now.st_dev) {
        return std::make_unique<PosixLock>(std::move(fd));
      }
    }
  }
};

}  // namespace

Env& PosixEnv() {
  static PosixEnvImpl& env = *new PosixEnvImpl;
  return env;
}

}  // namespace wanlite
