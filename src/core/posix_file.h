// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Files of this machine's disk, below PosixEnv().
#ifndef WANLITE_SRC_CORE_POSIX_FILE_H_
#define WANLITE_SRC_CORE_POSIX_FILE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

// What the system said: "PATH: cannot WHAT: …", with the codes that Env promises.
absl::Status ErrnoStatus(int error, absl::string_view path, absl::string_view what);

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// An empty file, open for writing. What is appended goes to the disk in pieces, on a thread of its
// own while the next piece is filled, and past the system's cache where the file system can: a
// model's bytes are written once and not soon read, and the cache would hold them at the cost of a
// copy and of whatever it held before. An error may thus be said by a later call than the Append()
// that gave the bytes, and by every call from then on; after Sync() and Close() nothing is open.
std::unique_ptr<WritableFile> NewPosixWritableFile(std::string path, Fd fd);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_POSIX_FILE_H_
