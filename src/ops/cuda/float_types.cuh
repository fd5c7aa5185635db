// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Conversions between fp32 and the element types of tensors, rounding half to even.
#ifndef WANLITE_SRC_OPS_CUDA_FLOAT_TYPES_CUH_
#define WANLITE_SRC_OPS_CUDA_FLOAT_TYPES_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "src/ops/cuda/kernels.h"

namespace wanlite::ops::cuda {

__device__ __forceinline__ float ToFloat(float value) { return value; }
__device__ __forceinline__ float ToFloat(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float ToFloat(__half value) { return __half2float(value); }

__device__ __forceinline__ void Store(float value, float* out) { *out = value; }
__device__ __forceinline__ void Store(float value, __nv_bfloat16* out) {
  *out = __float2bfloat16_rn(value);
}
__device__ __forceinline__ void Store(float value, __half* out) { *out = __float2half_rn(value); }

// Two neighbours at once; `out` is aligned for the pair.
__device__ __forceinline__ void StorePair(float first, float second, float* out) {
  *reinterpret_cast<float2*>(out) = make_float2(first, second);
}
__device__ __forceinline__ void StorePair(float first, float second, __nv_bfloat16* out) {
  *reinterpret_cast<__nv_bfloat162*>(out) = __floats2bfloat162_rn(first, second);
}
__device__ __forceinline__ void StorePair(float first, float second, __half* out) {
  *reinterpret_cast<__half2*>(out) = __floats2half2_rn(first, second);
}

// Calls function(T*) with a null pointer of the element type.
template <typename Function>
cudaError_t DispatchFloat(FloatType type, Function function) {
  switch (type) {
    case FloatType::kFloat32:
      return function(static_cast<float*>(nullptr));
    case FloatType::kBFloat16:
      return function(static_cast<__nv_bfloat16*>(nullptr));
    case FloatType::kFloat16:
      return function(static_cast<__half*>(nullptr));
  }
  return cudaErrorInvalidValue;
}

}  // namespace wanlite::ops::cuda

#endif  // WANLITE_SRC_OPS_CUDA_FLOAT_TYPES_CUH_
