// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What process groups ask of the tensors that they exchange.
#ifndef WANLITE_SRC_TRAIN_EXCHANGED_TENSOR_H_
#define WANLITE_SRC_TRAIN_EXCHANGED_TENSOR_H_

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "wanlite/process_group.h"

namespace wanlite {

inline absl::Status CheckExchanged(const ProcessGroup& group, const at::Tensor& tensor) {
  if (tensor.defined() && group.Takes(tensor.device().type()) && tensor.is_contiguous()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("what a process group exchanges must be contiguous and on the CPU",
                   group.Takes(c10::kCUDA) ? " or a CUDA device" : ""));
}

inline absl::Status CheckSummed(const at::Tensor& tensor) {
  if (!tensor.defined())
    return absl::InvalidArgumentError("a process group sums no undefined tensor");
  const at::ScalarType dtype = tensor.scalar_type();
  if (dtype == at::kFloat || dtype == at::kDouble || dtype == at::kLong) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "sums over a process group are of fp32, fp64 or int64, not of ", c10::toString(dtype)));
}

inline absl::Status CheckRoot(const ProcessGroup& group, int root) {
  if (root >= 0 && root < group.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("no rank ", root, " in a group of ", group.size()));
}

}  // namespace wanlite

#endif  // WANLITE_SRC_TRAIN_EXCHANGED_TENSOR_H_
