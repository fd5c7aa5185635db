// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Processes that train one model together. Sums are made in the order of ranks, so the same group
// gives the same bits each time.
#ifndef WANLITE_PROCESS_GROUP_H_
#define WANLITE_PROCESS_GROUP_H_

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceType.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace wanlite {

// One member of a group. Every member makes the same calls in the same order. Not thread-safe.
// After an error the group is of no more use. Unavailable when another member is gone or does not
// come in time; InvalidArgument when members ask for different things.
//
// Tensors are contiguous, of the same shape and dtype for all members, and on the CPU or on another
// device that Takes() names; InvalidArgument otherwise.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;  // the others are told that this one is gone
  virtual int rank() const = 0;       // 0 <= rank < size; 0 is the one that writes files
  virtual int size() const = 0;
  virtual bool Takes(c10::DeviceType device) const { return device == c10::kCPU; }
  // tensor becomes the sum of all members' tensors, the same bits for each: ((r0 + r1) + r2) + ….
  // fp32, fp64 or int64; InvalidArgument otherwise.
  virtual absl::Status AllReduce(at::Tensor tensor) = 0;
  // The tensor of rank `root` becomes the sum that AllReduce() gives; the others' stay as they are.
  virtual absl::Status Reduce(at::Tensor tensor, int root) = 0;
  // tensor becomes that of rank `root`. Any dtype.
  virtual absl::Status Broadcast(at::Tensor tensor, int root) = 0;
  // Returns when all have come here.
  virtual absl::Status Barrier() = 0;
};

// The group of one: its calls do nothing.
std::unique_ptr<ProcessGroup> AloneGroup();

// Processes (or threads, each with a member of its own) of one machine, which meet in memory that
// they share through the file `path`. Rank 0 makes the file, which must not be there, and removes
// it when all have joined. Waits for all to come. A member that ends, however it ends, is noticed
// by the others within a second; one that is silent for `patience_s` seconds counts as gone.
// AlreadyExists for a file that is there, InvalidArgument for a rank that is not in the group or
// members that disagree on its size.
absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinLocalGroup(const std::string& path, int rank,
                                                             int size, double patience_s = 600);

// Processes of one machine or many that LibTorch's c10d connects: Gloo for tensors on the CPU, and
// NCCL for tensors on CUDA devices where wanlite was built with it.
struct RankAddress {
  std::string host = "127.0.0.1";  // of rank 0, where it listens at `port`
  int port = 29500;
  int rank = 0, size = 1;
  int local_rank = 0;  // among those of this machine: the number of its CUDA device
  // The address belongs to an agent that serves keys there itself, as torchrun's does: rank 0 is a
  // client like the others. Keys of one start of the processes begin with `prefix`.
  bool served = false;
  std::string prefix = {};
};

// What torchrun and its like say by RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT;
// nothing where there is no WORLD_SIZE. InvalidArgument, naming the variable, for one that is
// missing or out of its range.
absl::StatusOr<std::optional<RankAddress>> AddressFromEnvironment();

// A port of 127.0.0.1 that was free a moment ago, for groups of this machine alone.
absl::StatusOr<int> FreePort();

// Waits for all to come. A member that is killed is noticed by the others' next call, at once, for
// its connections are closed; one whose machine is silent counts as gone after `patience_s`
// seconds, which is also how long the others wait while one works alone.
absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinGroup(const RankAddress& address,
                                                        double patience_s = 12 * 3600);

}  // namespace wanlite

#endif  // WANLITE_PROCESS_GROUP_H_
