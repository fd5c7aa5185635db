// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#define USE_C10D_NCCL

#include "src/ops/cuda/nccl.h"

#include <torch/csrc/cuda/nccl.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <type_traits>

extern "C" void wanlite_make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                  std::chrono::milliseconds patience,
                                  c10::intrusive_ptr<c10d::Backend>& made) {
  static_assert(std::is_same_v<decltype(wanlite_make_nccl), wanlite::ops::cuda::MakeNccl>);
  // The options hold a structure of NCCL's whose size hangs on its version.
  constexpr uint64_t kHere = (uint64_t{NCCL_MAJOR} << 32) | (NCCL_MINOR << 16) | NCCL_PATCH;
  TORCH_CHECK(torch::cuda::nccl::version() == kHere, "wanlite was built for NCCL ", NCCL_MAJOR, ".",
              NCCL_MINOR, ".", NCCL_PATCH, ", and LibTorch has another one");
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = patience;
  made = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
}
