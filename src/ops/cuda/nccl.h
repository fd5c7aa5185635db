// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// NCCL for process groups: the one function of libwanlite_cuda that they call, by its name.
#ifndef WANLITE_SRC_OPS_CUDA_NCCL_H_
#define WANLITE_SRC_OPS_CUDA_NCCL_H_

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

namespace wanlite::ops::cuda {

inline constexpr char kMakeNccl[] = "wanlite_make_nccl";
// The member `rank` of `size` that meet through `store`. Throws c10::Error.
using MakeNccl = void(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                      std::chrono::milliseconds patience, c10::intrusive_ptr<c10d::Backend>& made);

}  // namespace wanlite::ops::cuda

#endif  // WANLITE_SRC_OPS_CUDA_NCCL_H_
