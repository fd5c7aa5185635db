// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Brings CUDA into the process. The library itself links nothing of CUDA, so that a run on the CPU
// starts fast and small; its kernels are in libwanlite_cuda, which brings LibTorch's CUDA part with
// it.
#ifndef WANLITE_SRC_OPS_CUDA_LOADER_H_
#define WANLITE_SRC_OPS_CUDA_LOADER_H_

#include "absl/status/status.h"

namespace wanlite::ops {

// Call it before anything asks LibTorch about CUDA (LibTorch remembers the answer), and before
// making CUDA tensors. Loads once; later calls return the first answer. Thread-safe.
//   Unimplemented        wanlite was built without CUDA
//   NotFound             libwanlite_cuda.so is not beside this library, or something it needs is
//   missing Unavailable          no usable device or driver (with the driver's error)
//   FailedPrecondition   LibTorch was asked about CUDA too early and will not see it any more
// The environment variable WANLITE_CUDA_LIBRARY names the file where it is not beside this library.
absl::Status EnsureCuda();

// A function of libwanlite_cuda; null where it has none of the name, or is not loaded.
void* CudaSymbol(const char* name);

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CUDA_LOADER_H_
