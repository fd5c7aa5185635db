// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Groups over LibTorch's c10d. The only file that includes its headers, which cost a compilation of
// their own; gloo_names/ has what they want of Gloo's.
#define USE_C10D_GLOO

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/ops/cuda/nccl.h"
#include "src/ops/cuda_loader.h"
#include "src/train/exchanged_tensor.h"
#include "wanlite/process_group.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// A member holds the pieces of all others while it adds them up, so pieces are small.
constexpr int64_t kPieceBytes = int64_t{16} << 20;

class ConnectedGroup : public ProcessGroup {
 public:
  ConnectedGroup(RankAddress address, double patience_s)
      : address_(std::move(address)), patience_(static_cast<int64_t>(1000 * patience_s)) {}

  absl::Status Join() {
    const absl::Status joined = CatchTorch([&] {
      c10d::TCPStoreOptions options;
      options.port = static_cast<std::uint16_t>(address_.port);
      options.isServer = address_.rank == 0 && !address_.served;
      options.numWorkers = static_cast<size_t>(address_.size);
      // Whoever never comes is missed sooner than who is silent at work.
      options.timeout = std::min<std::chrono::milliseconds>(patience_, std::chrono::minutes(10));
      store_ = c10::make_intrusive<c10d::PrefixStore>(
          absl::StrCat("wanlite/", address_.prefix),
          c10::make_intrusive<c10d::TCPStore>(address_.host, options));
      auto gloo = c10d::ProcessGroupGloo::Options::create(patience_);
      gloo->devices.push_back(Device());
      gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(
          c10::make_intrusive<c10d::PrefixStore>("gloo", store_), address_.rank, address_.size,
          gloo);
      store_->setTimeout(patience_);
    });
    if (joined.ok()) return joined;
    return absl::UnavailableError(absl::StrCat("rank ", address_.rank, " of ", address_.size,
                                               " could not join the group at ", address_.host, ":",
                                               address_.port, ": ", joined.message()));
  }

  int rank() const override { return address_.rank; }
  int size() const override { return address_.size; }
  bool Takes(c10::DeviceType device) const override {
    return device == c10::kCPU ||
           (device == c10::kCUDA && ops::CudaSymbol(ops::cuda::kMakeNccl) != nullptr);
  }

  absl::Status AllReduce(at::Tensor tensor) override {
    WANLITE_RETURN_IF_ERROR(CheckSummed(tensor));
    return Exchange(kAllReduce, tensor, [&](c10d::Backend& backend, at::Tensor piece) {
      std::vector<std::vector<at::Tensor>> all{PiecesLike(piece)};
      std::vector<at::Tensor> own{piece};
      backend.allgather(all, own)->wait();
      Sum(all[0], piece);
    });
  }

  absl::Status Reduce(at::Tensor tensor, int root) override {
    WANLITE_RETURN_IF_ERROR(CheckSummed(tensor));
    WANLITE_RETURN_IF_ERROR(CheckRoot(*this, root));
    return Exchange(kReduce + root, tensor, [&](c10d::Backend& backend, at::Tensor piece) {
      std::vector<std::vector<at::Tensor>> all;
      if (rank() == root) all.push_back(PiecesLike(piece));
      std::vector<at::Tensor> own{piece};
      c10d::GatherOptions options;
      options.rootRank = root;
      backend.gather(all, own, options)->wait();
      if (rank() == root) Sum(all[0], piece);
    });
  }

  absl::Status Broadcast(at::Tensor tensor, int root) override {
    WANLITE_RETURN_IF_ERROR(CheckRoot(*this, root));
    return Exchange(kBroadcast + root, tensor, [&](c10d::Backend& backend, at::Tensor piece) {
      std::vector<at::Tensor> bytes{piece.view(at::kByte)};
      c10d::BroadcastOptions options;
      options.rootRank = root;
      backend.broadcast(bytes, options)->wait();
    });
  }

  absl::Status Barrier() override {
    return OrLost(CatchTorch([&] { return Meet(kBarrier, 0, 0); }));
  }

 private:
  // The last two with the root added.
  enum Kind : int64_t { kBarrier = 1, kAllReduce = 2, kBroadcast = 1 << 20, kReduce = 2 << 20 };

  // By the address that reaches rank 0 where that is this machine: host names need not resolve.
  std::shared_ptr<::gloo::transport::Device> Device() const {
    if (address_.host == "127.0.0.1" || address_.host == "localhost") {
      return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
    }
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    if (interface != nullptr && *interface != '\0') {
      return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
    }
    return c10d::ProcessGroupGloo::createDefaultDevice();
  }

  static void Sum(const std::vector<at::Tensor>& parts, at::Tensor& into) {
    into.copy_(parts[0]);
    for (size_t i = 1; i < parts.size(); ++i) into.add_(parts[i]);
  }

  std::vector<at::Tensor> PiecesLike(const at::Tensor& piece) const {
    std::vector<at::Tensor> pieces;
    for (int i = 0; i < size(); ++i) pieces.push_back(at::empty_like(piece));
    return pieces;
  }

  // What c10d throws when a connection is closed or silent.
  absl::Status OrLost(const absl::Status& status) const {
    if (status.ok() || absl::IsInvalidArgument(status)) return status;
    return absl::UnavailableError(
        absl::StrCat("rank ", rank(), " of ", size(),
                     " lost the others: a process of the group is gone or does not answer (",
                     status.message(), ")"));
  }

  // Finds out calls that do not match, which would hang or mix up bytes.
  absl::Status Meet(int64_t kind, int64_t bytes, int64_t dtype) {
    std::vector<at::Tensor> own{at::tensor({kind, bytes, dtype}, at::kLong)};
    std::vector<std::vector<at::Tensor>> all{PiecesLike(own[0])};
    gloo_->allgather(all, own)->wait();
    for (int member = 0; member < size(); ++member) {
      if (at::equal(all[0][member], own[0])) continue;
      const int64_t* other = all[0][member].const_data_ptr<int64_t>();
      return absl::InvalidArgumentError(absl::StrCat(
          "processes 0 to ", size() - 1, " of the group ask for different things: rank ", rank(),
          " brings ", bytes, " bytes of dtype ", dtype, ", rank ", member, " ", other[1],
          " of dtype ", other[2]));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<c10d::Backend*> BackendOf(const at::Tensor& tensor) {
    if (tensor.device().is_cpu()) return gloo_.get();
    if (nccl_ == nullptr) {
      const auto make =
          reinterpret_cast<ops::cuda::MakeNccl*>(ops::CudaSymbol(ops::cuda::kMakeNccl));
      const absl::Status made = CatchTorch([&] {
        make(c10::make_intrusive<c10d::PrefixStore>("nccl", store_), rank(), size(), patience_,
             nccl_);
      });
      WANLITE_RETURN_IF_ERROR(Annotate(made, "NCCL does not start"));
    }
    return nccl_.get();
  }

  // move(backend, piece) for each piece of the tensor, one-dimensional.
  template <typename Move>
  absl::Status Exchange(int64_t kind, const at::Tensor& tensor, const Move& move) {
    WANLITE_RETURN_IF_ERROR(CheckExchanged(*this, tensor));
    WANLITE_ASSIGN_OR_RETURN(c10d::Backend* const backend, BackendOf(tensor));
    return OrLost(CatchTorch([&]() -> absl::Status {
      const at::NoGradGuard no_grad;
      WANLITE_RETURN_IF_ERROR(Meet(kind, static_cast<int64_t>(tensor.nbytes()),
                                   static_cast<int64_t>(tensor.scalar_type())));
      const at::Tensor flat = tensor.detach().view({-1});
      const int64_t step = kPieceBytes / flat.element_size();
      for (int64_t at = 0; at < flat.numel(); at += step) {
        move(*backend, flat.narrow(0, at, std::min(step, flat.numel() - at)));
      }
      return absl::OkStatus();
    }));
  }

  const RankAddress address_;
  const std::chrono::milliseconds patience_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Backend> gloo_;
  c10::intrusive_ptr<c10d::Backend> nccl_;  // made for the first tensor on a CUDA device
};

absl::StatusOr<int> NumberFrom(const char* variable, int least, int most,
                               std::optional<int> without = std::nullopt) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') {
    if (without.has_value()) return *without;
    return absl::InvalidArgumentError(
        absl::StrCat("the environment has WORLD_SIZE, but no ", variable));
  }
  int value = 0;
  if (absl::SimpleAtoi(text, &value) && value >= least && value <= most) return value;
  return absl::InvalidArgumentError(absl::StrCat("the environment variable ", variable, " is '",
                                                 text, "', wanted a number in ", least, "..",
                                                 most));
}

}  // namespace

absl::StatusOr<std::optional<RankAddress>> AddressFromEnvironment() {
  const char* size = std::getenv("WORLD_SIZE");
  if (size == nullptr || *size == '\0') return std::nullopt;
  constexpr int kMaxProcesses = 1 << 16, kMaxPort = 65535;
  RankAddress address;
  WANLITE_ASSIGN_OR_RETURN(address.size, NumberFrom("WORLD_SIZE", 1, kMaxProcesses));
  if (address.size == 1) return std::nullopt;  // needs nobody else's address
  WANLITE_ASSIGN_OR_RETURN(address.rank, NumberFrom("RANK", 0, address.size - 1));
  WANLITE_ASSIGN_OR_RETURN(address.local_rank,
                           NumberFrom("LOCAL_RANK", 0, address.size - 1, address.rank));
  WANLITE_ASSIGN_OR_RETURN(address.port, NumberFrom("MASTER_PORT", 1, kMaxPort));
  const char* host = std::getenv("MASTER_ADDR");
  if (host == nullptr || *host == '\0') {
    return absl::InvalidArgumentError("the environment has WORLD_SIZE, but no MASTER_ADDR");
  }
  address.host = host;
  // torchrun's agent listens at the port itself, and counts how often it has started the processes.
  const char* served = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
  address.served = served != nullptr && std::string(served) == "True";
  const char* restarts = std::getenv("TORCHELASTIC_RESTART_COUNT");
  if (restarts != nullptr) address.prefix = restarts;
  return address;
}

absl::StatusOr<int> FreePort() {
  const int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  const bool found =
      bound >= 0 && bind(bound, any, size) == 0 && getsockname(bound, any, &size) == 0;
  const int error = errno;
  if (bound >= 0) close(bound);
  if (found) return ntohs(address.sin_port);
  return absl::UnavailableError(absl::StrCat("no free port: ", std::strerror(error)));
}

absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinGroup(const RankAddress& address,
                                                        double patience_s) {
  if (address.size < 1 || address.rank < 0 || address.rank >= address.size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", address.rank, " of ", address.size,
                                                   " processes; ranks count from 0"));
  }
  if (address.size == 1) return AloneGroup();
  auto group = std::make_unique<ConnectedGroup>(address, patience_s);
  WANLITE_RETURN_IF_ERROR(group->Join());
  return group;
}

}  // namespace wanlite
