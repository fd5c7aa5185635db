// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Processes that train one model together. Sums are made in the order of ranks, so the same group
// gives the same bits each time.
#ifndef WANLITE_PROCESS_GROUP_H_
#define WANLITE_PROCESS_GROUP_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace wanlite {

// One member of a group. Every member makes the same calls in the same order. Not thread-safe.
// After an error the group is of no more use. Unavailable when another member is gone or does not
// come in time.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;  // the others are told that this one is gone
  virtual int rank() const = 0;       // 0 <= rank < size; 0 is the one that writes files
  virtual int size() const = 0;
  // tensor becomes the sum of all members' tensors, the same bits for each: ((r0 + r1) + r2) + ….
  // tensor: fp32, fp64 or int64 on the CPU, of the same shape and dtype everywhere; InvalidArgument
  // otherwise.
  virtual absl::Status AllReduce(at::Tensor tensor) = 0;
  // tensor becomes that of rank `root`. Any dtype, on the CPU.
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

}  // namespace wanlite

#endif  // WANLITE_PROCESS_GROUP_H_
