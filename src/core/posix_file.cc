// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/posix_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "src/core/threads.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Large enough that a disk reaches its speed with one piece under way.
constexpr size_t kPieceBytes = size_t{4} << 20;
// Memory and offsets of writes past the cache lie on multiples of this.
constexpr size_t kDirectAlignment = 4096;
static_assert(kPieceBytes % kDirectAlignment == 0);

struct FreePiece {
  void operator()(char* piece) const { std::free(piece); }
};
using Piece = std::unique_ptr<char, FreePiece>;

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::Status Append(absl::string_view data) override {
    while (status_.ok() && !data.empty()) {
      if (filling_ == nullptr && !NewPiece(filling_)) break;
      const size_t count = std::min(kPieceBytes - filled_, data.size());
      std::memcpy(filling_.get() + filled_, data.data(), count);
      filled_ += count;
      data.remove_prefix(count);
      if (filled_ == kPieceBytes) status_ = StartWriting();
    }
    return status_;
  }

  absl::Status Sync() override {
    if (status_.ok()) status_ = WriteRest();
    if (status_.ok() && ::fsync(fd_.get()) != 0) status_ = ErrnoStatus(errno, path_, "sync");
    return status_;
  }

  absl::Status Close() override {
    if (fd_.get() < 0) return status_;
    if (status_.ok()) status_ = WriteRest();
    const absl::Status written = writing_.Wait();  // done before the descriptor is another file's
    if (status_.ok()) status_ = written;
    const int fd = fd_.release();
    if (::close(fd) != 0 && status_.ok()) status_ = ErrnoStatus(errno, path_, "close");
    return status_;
  }

 private:
  bool NewPiece(Piece& piece) {
    piece.reset(static_cast<char*>(std::aligned_alloc(kDirectAlignment, kPieceBytes)));
    if (piece == nullptr) status_ = ErrnoStatus(ENOMEM, path_, "write");
    return piece != nullptr;
  }

  absl::Status StartWriting() {
    WANLITE_RETURN_IF_ERROR(writing_.Wait());
    std::swap(filling_, in_writing_);
    filled_ = 0;
    if (!tried_direct_) SetDirect(true);
    return writing_.Start([this] { return Write(in_writing_.get(), kPieceBytes); });
  }

  // The last piece, whose length is no multiple of anything.
  absl::Status WriteRest() {
    WANLITE_RETURN_IF_ERROR(writing_.Wait());
    if (filled_ == 0) return absl::OkStatus();
    SetDirect(false);
    const size_t count = std::exchange(filled_, 0);
    return Write(filling_.get(), count);
  }

  // Not an error where the file system has no such thing.
  void SetDirect(bool direct) {
    tried_direct_ = true;
    if (direct == direct_) return;
    const int flags = ::fcntl(fd_.get(), F_GETFL);
    if (flags < 0) return;
    if (::fcntl(fd_.get(), F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0) {
      direct_ = direct;
    }
  }

  absl::Status Write(const char* data, size_t count) {
    while (count > 0) {
      const ssize_t n = ::write(fd_.get(), data, count);
      if (n < 0) {
        if (errno == EINTR) continue;
        // The file system wants another alignment, or a write was cut short in between.
        if (errno == EINVAL && direct_) {
          SetDirect(false);
          if (!direct_) continue;
        }
        return ErrnoStatus(errno, path_, "write");
      }
      data += n;
      count -= static_cast<size_t>(n);
    }
    return absl::OkStatus();
  }

  const std::string path_;
  Fd fd_;
  absl::Status status_;  // the first error
  Piece filling_, in_writing_;
  size_t filled_ = 0;
  // Of the descriptor; touched by the writing thread or, while that rests, by the owner's.
  bool direct_ = false, tried_direct_ = false;
  BackgroundWork writing_;  // the last member: its end waits for what uses the others
};

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view path, absl::string_view what) {
  absl::StatusCode code = absl::ErrnoToStatusCode(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      code = absl::StatusCode::kResourceExhausted;
      break;
    case ENOENT:
    case ENOTDIR:
      code = absl::StatusCode::kNotFound;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = absl::StatusCode::kPermissionDenied;
      break;
    case EEXIST:
    case ENOTEMPTY:
      code = absl::StatusCode::kAlreadyExists;
      break;
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV:
      code = absl::StatusCode::kInvalidArgument;
      break;
    default:
      break;
  }
  return absl::Status(code,
                      absl::StrCat(path, ": cannot ", what, ": ",
                                   std::error_code(error, std::generic_category()).message()));
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

std::unique_ptr<WritableFile> NewPosixWritableFile(std::string path, Fd fd) {
  return std::make_unique<PosixWritableFile>(std::move(path), std::move(fd));
}

}  // namespace wanlite
