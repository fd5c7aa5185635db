// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Takes the place of cuda_loader.cc in builds without CUDA.
#include "src/ops/cuda_loader.h"

namespace wanlite::ops {

absl::Status EnsureCuda() {
  return absl::UnimplementedError(
      "this wanlite was built without CUDA; build it where nvcc is found (WANLITE_CUDA=ON)");
}

void* CudaSymbol(const char*) { return nullptr; }

}  // namespace wanlite::ops
