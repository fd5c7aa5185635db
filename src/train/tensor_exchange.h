// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the processes of a training send each other. Each tensor has an owner, the rank that keeps
// the optimizer's state of it (ZeRO-1, Rajbhandari et al. 2020): gradients are summed at the owner
// alone, and the weights come back from it.
#ifndef WANLITE_SRC_TRAIN_TENSOR_EXCHANGE_H_
#define WANLITE_SRC_TRAIN_TENSOR_EXCHANGE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/process_group.h"

namespace wanlite::train {

// An owner for each tensor, of such sizes, so that all ranks have about the same: the largest
// first, each to the rank that has least. The same for the same sizes.
std::vector<int> BalancedOwners(const std::vector<int64_t>& sizes, int ranks);

// Small tensors travel together.
inline constexpr int64_t kBucketBytes = int64_t{16} << 20;

class TensorExchange {
 public:
  TensorExchange(ProcessGroup& group, std::vector<int> owners)
      : group_(group), owners_(std::move(owners)) {}

  // tensors: one for each owner, dense, fp32 or fp64. Each becomes the sum over the ranks, in their
  // order, where this rank is its owner; the others become undefined, which frees them.
  absl::Status ReduceToOwners(std::vector<at::Tensor>& tensors);
  // Each tensor becomes that of its owner.
  absl::Status SpreadFromOwners(const std::vector<at::Tensor>& tensors);

  bool owns(size_t i) const { return owners_[i] == group_.rank(); }
  // By this rank, of tensors; what goes to several counts once for each.
  int64_t bytes_sent() const { return bytes_sent_; }

 private:
  // Numbers of tensors of one owner, dtype and device that travel together.
  std::vector<std::vector<size_t>> Buckets(const std::vector<at::Tensor>& tensors) const;
  // One after the other in one tensor, on a device that the group takes.
  at::Tensor Packed(const std::vector<at::Tensor>& tensors,
                    const std::vector<size_t>& bucket) const;
  static void Unpack(const at::Tensor& packed, const std::vector<size_t>& bucket,
                     const std::vector<at::Tensor>& into);

  ProcessGroup& group_;
  const std::vector<int> owners_;
  int64_t bytes_sent_ = 0;
};

// The text of rank `root` for all.
absl::Status BroadcastText(ProcessGroup& group, int root, std::string& text);
// Everybody's, in the order of ranks.
absl::StatusOr<std::vector<std::string>> GatherTexts(ProcessGroup& group, const std::string& own);
// One result for all: an error of one is an error of each. who: "training of vae".
absl::Status Agree(ProcessGroup& group, const absl::Status& status, absl::string_view who);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_TENSOR_EXCHANGE_H_
