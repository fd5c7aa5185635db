// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/process_group.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/train/exchanged_tensor.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using GroupClock = std::chrono::steady_clock;

class Alone : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  bool Takes(c10::DeviceType) const override { return true; }
  absl::Status AllReduce(at::Tensor) override { return absl::OkStatus(); }
  absl::Status Reduce(at::Tensor, int) override { return absl::OkStatus(); }
  absl::Status Broadcast(at::Tensor, int) override { return absl::OkStatus(); }
  absl::Status Barrier() override { return absl::OkStatus(); }
};

constexpr uint64_t kGroupMagic = 0x77616e6c69746531;  // "wanlite1"
constexpr int kMaxMembers = 64;
constexpr size_t kSlotBytes = 256 << 10;
constexpr size_t kHeaderBytes = 4096;

// What the members share; slots of kSlotBytes, one for each, follow at kHeaderBytes.
struct SharedHeader {
  uint64_t magic = kGroupMagic;
  int32_t size = 0;
  std::atomic<int32_t> joined{0};
  std::atomic<int32_t> arrived{0};
  std::atomic<uint32_t> generation{0};  // of the meeting that is being waited for
  // What each member brings to a meeting, so that calls that do not match are found out.
  struct Call {
    int64_t kind = 0, bytes = 0, dtype = 0;
    bool operator==(const Call&) const = default;
  };
  Call calls[kMaxMembers];
};
static_assert(sizeof(SharedHeader) <= kHeaderBytes);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

absl::Status SystemError(absl::string_view path, absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("process group ", path, ": cannot ", what, ": ", std::strerror(errno)));
}

// Each member holds a lock on the byte of its rank through a file description of its own, which the
// system drops however the member ends.
struct flock ByteOf(int rank) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(rank);
  lock.l_len = 1;
  return lock;
}

template <typename T>
void AddTo(void* sum, const void* part, size_t bytes) {
  T* a = static_cast<T*>(sum);
  const T* b = static_cast<const T*>(part);
  for (size_t i = 0; i < bytes / sizeof(T); ++i) a[i] += b[i];
}

class LocalGroup : public ProcessGroup {
 public:
  LocalGroup(std::string path, int rank, int size, double patience_s)
      : path_(std::move(path)), rank_(rank), size_(size), patience_s_(patience_s) {}
  ~LocalGroup() override {
    if (header_ != nullptr) munmap(header_, FileBytes());
    if (fd_ >= 0) close(fd_);
    if (!made_.empty()) unlink(made_.c_str());
  }

  absl::Status Join() {
    const absl::Status opened = rank_ == 0 ? Make() : Find();
    WANLITE_RETURN_IF_ERROR(opened);
    header_->joined.fetch_add(1);
    WANLITE_RETURN_IF_ERROR(
        WaitUntil([&] { return header_->joined.load() >= size_; }, /*all_are_there=*/false));
    if (rank_ == 0) {
      unlink(path_.c_str());
      made_.clear();
    }
    return absl::OkStatus();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  absl::Status AllReduce(at::Tensor tensor) override {
    WANLITE_RETURN_IF_ERROR(CheckSummed(tensor));
    return Exchange(kAllReduce, tensor,
                    [&](char* into, size_t bytes) { SumSlots(tensor.scalar_type(), into, bytes); });
  }

  absl::Status Reduce(at::Tensor tensor, int root) override {
    WANLITE_RETURN_IF_ERROR(CheckSummed(tensor));
    WANLITE_RETURN_IF_ERROR(CheckRoot(*this, root));
    return Exchange(kReduce + root, tensor, [&](char* into, size_t bytes) {
      if (rank_ == root) SumSlots(tensor.scalar_type(), into, bytes);
    });
  }

  absl::Status Broadcast(at::Tensor tensor, int root) override {
    WANLITE_RETURN_IF_ERROR(CheckRoot(*this, root));
    return Exchange(kBroadcast + root, tensor,
                    [&](char* into, size_t bytes) { std::memcpy(into, Slot(root), bytes); });
  }

  // Nobody begins the next call before all have seen what the others asked for in this one.
  absl::Status Barrier() override {
    WANLITE_RETURN_IF_ERROR(Meet({kBarrier, 0, 0}));
    return Arrive();
  }

 private:
  // The last two with the root added.
  enum Kind : int64_t { kBarrier = 1, kAllReduce = 2, kBroadcast = 1000, kReduce = 2000 };

  void SumSlots(at::ScalarType dtype, char* into, size_t bytes) const {
    std::memcpy(into, Slot(0), bytes);
    for (int member = 1; member < size_; ++member) {
      if (dtype == at::kFloat) AddTo<float>(into, Slot(member), bytes);
      if (dtype == at::kDouble) AddTo<double>(into, Slot(member), bytes);
      if (dtype == at::kLong) AddTo<int64_t>(into, Slot(member), bytes);
    }
  }

  size_t FileBytes() const { return kHeaderBytes + static_cast<size_t>(size_) * kSlotBytes; }
  char* Slot(int member) const {
    return reinterpret_cast<char*>(header_) + kHeaderBytes +
           static_cast<size_t>(member) * kSlotBytes;
  }

  absl::Status TakeByte() {
    struct flock lock = ByteOf(rank_);
    if (fcntl(fd_, F_OFD_SETLK, &lock) == 0) return absl::OkStatus();
    if (errno != EAGAIN && errno != EACCES) return SystemError(path_, "lock");
    return absl::InvalidArgumentError(
        absl::StrCat("process group ", path_, ": there is a rank ", rank_, " already"));
  }

  absl::Status MapFile() {
    void* memory = mmap(nullptr, FileBytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) return SystemError(path_, "map");
    header_ = static_cast<SharedHeader*>(memory);
    return absl::OkStatus();
  }

  // The file appears under its name when it is ready.
  absl::Status Make() {
    made_ = TemporaryPath(path_);
    fd_ = open(made_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd_ < 0) return SystemError(path_, "create");
    if (ftruncate(fd_, static_cast<off_t>(FileBytes())) != 0) return SystemError(path_, "enlarge");
    WANLITE_RETURN_IF_ERROR(MapFile());
    new (header_) SharedHeader;
    header_->size = size_;
    WANLITE_RETURN_IF_ERROR(TakeByte());
    const std::string temporary = made_;
    if (link(temporary.c_str(), path_.c_str()) != 0) {
      if (errno != EEXIST) return SystemError(path_, "create");
      return absl::AlreadyExistsError(absl::StrCat("process group ", path_,
                                                   ": the file is there already; every start wants "
                                                   "a path of its own"));
    }
    unlink(temporary.c_str());
    made_ = path_;
    return absl::OkStatus();
  }

  absl::Status Find() {
    const GroupClock::time_point begin = GroupClock::now();
    while ((fd_ = open(path_.c_str(), O_RDWR | O_CLOEXEC)) < 0) {
      if (errno != ENOENT) return SystemError(path_, "open");
      if (std::chrono::duration<double>(GroupClock::now() - begin).count() > patience_s_) {
        return absl::UnavailableError(
            absl::StrCat("process group ", path_, ": rank 0 did not come"));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    struct stat info {};
    if (fstat(fd_, &info) != 0) return SystemError(path_, "look at");
    if (static_cast<size_t>(info.st_size) != FileBytes()) {
      return absl::InvalidArgumentError(absl::StrCat("process group ", path_, ": not of ", size_,
                                                     " members, as this one was told"));
    }
    WANLITE_RETURN_IF_ERROR(MapFile());
    if (header_->magic != kGroupMagic || header_->size != size_) {
      return absl::InvalidArgumentError(
          absl::StrCat("process group ", path_, ": the file is none of a process group"));
    }
    return TakeByte();
  }

  // Gone: its lock is free. -1 when all are there.
  int FindGone() const {
    for (int member = 0; member < size_; ++member) {
      struct flock lock = ByteOf(member);
      if (member != rank_ && fcntl(fd_, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK) {
        return member;
      }
    }
    return -1;
  }

  template <typename Done>
  absl::Status WaitUntil(const Done& done, bool all_are_there) const {
    const GroupClock::time_point begin = GroupClock::now();
    GroupClock::time_point next_look = begin + std::chrono::milliseconds(200);
    auto pause = std::chrono::microseconds(10);
    for (int turn = 0; !done(); ++turn) {
      if (turn < 100) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::microseconds(1000));
      const GroupClock::time_point now = GroupClock::now();
      if (all_are_there && now > next_look) {
        next_look = now + std::chrono::milliseconds(200);
        const int gone = FindGone();
        if (gone >= 0 && !done()) {
          return absl::UnavailableError(
              absl::StrCat("process ", gone, " of ", size_, " of the group is gone"));
        }
      }
      if (std::chrono::duration<double>(now - begin).count() > patience_s_) {
        return absl::UnavailableError(absl::StrCat("process group ", path_, ": the others did not ",
                                                   "come within ", patience_s_, " s"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Meet(const SharedHeader::Call& call) {
    header_->calls[rank_] = call;
    WANLITE_RETURN_IF_ERROR(Arrive());
    for (int member = 0; member < size_; ++member) {
      if (!(header_->calls[member] == call)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "processes 0 to ", size_ - 1, " of the group ask for different things: ", "rank ",
            rank_, " brings ", call.bytes, " bytes of dtype ", call.dtype, ", rank ", member, " ",
            header_->calls[member].bytes, " of dtype ", header_->calls[member].dtype));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Arrive() {
    const uint32_t generation = header_->generation.load();
    if (header_->arrived.fetch_add(1) + 1 == size_) {
      header_->arrived.store(0);
      header_->generation.fetch_add(1);
      return absl::OkStatus();
    }
    return WaitUntil([&] { return header_->generation.load() != generation; },
                     /*all_are_there=*/true);
  }

  // Piece by piece: everybody's into its slot, meet, `take` from the slots, meet.
  template <typename Take>
  absl::Status Exchange(int64_t kind, const at::Tensor& tensor, const Take& take) {
    WANLITE_RETURN_IF_ERROR(CheckExchanged(*this, tensor));
    const at::NoGradGuard no_grad;
    char* data = static_cast<char*>(tensor.detach().mutable_data_ptr());
    const size_t all = tensor.nbytes();
    const SharedHeader::Call call{kind, static_cast<int64_t>(all),
                                  static_cast<int64_t>(tensor.scalar_type())};
    size_t at = 0;
    do {
      const size_t bytes = std::min(kSlotBytes, all - at);
      if (bytes > 0) std::memcpy(Slot(rank_), data + at, bytes);
      WANLITE_RETURN_IF_ERROR(Meet(call));
      if (bytes > 0) take(data + at, bytes);
      WANLITE_RETURN_IF_ERROR(Arrive());
      at += bytes;
    } while (at < all);
    return absl::OkStatus();
  }

  const std::string path_;
  const int rank_, size_;
  const double patience_s_;
  int fd_ = -1;
  SharedHeader* header_ = nullptr;
  std::string made_;  // the file that this one made and has to remove
};

}  // namespace

std::unique_ptr<ProcessGroup> AloneGroup() { return std::make_unique<Alone>(); }

absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinLocalGroup(const std::string& path, int rank,
                                                             int size, double patience_s) {
  if (size < 1 || size > kMaxMembers || rank < 0 || rank >= size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " of ", size,
                                                   " processes; a group has 1 to ", kMaxMembers,
                                                   ", and ranks count from 0"));
  }
  if (size == 1) return AloneGroup();
  auto group = std::make_unique<LocalGroup>(path, rank, size, patience_s);
  WANLITE_RETURN_IF_ERROR(group->Join());
  return group;
}

}  // namespace wanlite
