// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_OPS_CUDA_TENSOR_TYPES_H_
#define WANLITE_SRC_OPS_CUDA_TENSOR_TYPES_H_

#include <ATen/core/Tensor.h>

#include "src/ops/cuda/kernels.h"

namespace wanlite::ops::cuda {

// Of a dtype that the checks let through.
inline FloatType TypeOf(at::ScalarType dtype) {
  switch (dtype) {
    case at::kBFloat16:
      return FloatType::kBFloat16;
    case at::kHalf:
      return FloatType::kFloat16;
    default:
      return FloatType::kFloat32;
  }
}
inline FloatType TypeOf(const at::Tensor& x) { return TypeOf(x.scalar_type()); }

}  // namespace wanlite::ops::cuda

#endif  // WANLITE_SRC_OPS_CUDA_TENSOR_TYPES_H_
