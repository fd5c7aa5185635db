// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Quantizing tokens, with or without the rotation. A block takes a row in chunks of 1024 values,
// twice: once for the largest magnitude, once to store. The second reading comes from the cache;
// rotating again costs less than keeping a row of any length in shared memory.
#include <climits>

#include "src/ops/cuda/float_types.cuh"
#include "src/ops/cuda/kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops::cuda {
namespace {

constexpr int kBlockThreads = 256;
constexpr int kChunkValues = 4 * kBlockThreads;
static_assert(kChunkValues % kMaxRotationGroup == 0, "groups must not cross chunks");

// Reads up to kChunkValues values into shared memory, zeros behind the end, and rotates them there.
// Every thread of the block takes part; the chunk may be read after it returns.
template <typename T>
__device__ __forceinline__ void LoadRotated(const T* __restrict__ x, int64_t n, int32_t group,
                                            float* chunk) {
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  __syncthreads();  // the last chunk's readers are done
#pragma unroll
  for (int32_t i = 0; i < 4; ++i) {
    const int32_t at = i * kBlockThreads + thread;
    chunk[at] = at < n ? ToFloat(x[at]) : 0.0f;
  }
  for (int32_t stride = 1; stride < group; stride *= 4) {
    __syncthreads();
    float* p = chunk + HadamardBase(thread, stride);
    Hadamard4(p[0], p[stride], p[2 * stride], p[3 * stride]);
  }
  __syncthreads();
}

// The largest of all threads' values, in every thread.
__device__ __forceinline__ int32_t BlockMax(int32_t value) {
  __shared__ int32_t warps[kBlockThreads / 32];
#pragma unroll
  for (int32_t offset = 16; offset > 0; offset /= 2) {
    value = max(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
#pragma unroll
  for (int32_t i = 0; i < kBlockThreads / 32; ++i) value = max(value, warps[i]);
  return value;
}

template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    QuantizeKernel(const T* __restrict__ x, int64_t n, int8_t* __restrict__ q, int64_t q_stride,
                   float* __restrict__ scales) {
  const T* row = x + blockIdx.x * n;
  int8_t* q_row = q + blockIdx.x * q_stride;
  int32_t largest = 0;
  for (int64_t i = threadIdx.x; i < n; i += kBlockThreads) {
    largest = max(largest, MagnitudeBits(ToFloat(row[i])));
  }
  const float scale = Int8Scale(BlockMax(largest));
  const float divisor = Int8Divisor(scale);
  for (int64_t i = threadIdx.x; i < q_stride; i += kBlockThreads) {
    q_row[i] = i < n ? static_cast<int8_t>(QuantizeInt8(ToFloat(row[i]), divisor)) : int8_t{0};
  }
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
}

template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    QuantizeRotatedKernel(const T* __restrict__ x, int64_t n, int32_t group, int8_t* __restrict__ q,
                          int64_t q_stride, float* __restrict__ scales) {
  __shared__ float chunk[kChunkValues];
  const T* row = x + blockIdx.x * n;
  int8_t* q_row = q + blockIdx.x * q_stride;
  int32_t largest = 0;
  for (int64_t start = 0; start < n; start += kChunkValues) {
    LoadRotated(row + start, n - start, group, chunk);
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      largest = max(largest, MagnitudeBits(chunk[i * kBlockThreads + threadIdx.x]));
    }
  }
  const float scale = Int8Scale(BlockMax(largest));
  const float divisor = Int8Divisor(scale);
  for (int64_t start = 0; start < n; start += kChunkValues) {
    LoadRotated(row + start, n - start, group, chunk);
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      const int32_t at = i * kBlockThreads + static_cast<int32_t>(threadIdx.x);
      if (start + at < n) {
        q_row[start + at] = static_cast<int8_t>(QuantizeInt8(chunk[at], divisor));
      }
    }
  }
  for (int64_t i = n + threadIdx.x; i < q_stride; i += kBlockThreads) q_row[i] = 0;
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
}

// The tensor as one long row: groups divide both the rows and the chunks.
template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    RotateKernel(const T* __restrict__ x, int64_t total, int32_t group, T* __restrict__ y) {
  __shared__ float chunk[kChunkValues];
  const int64_t start = int64_t{blockIdx.x} * kChunkValues;
  LoadRotated(x + start, total - start, group, chunk);
#pragma unroll
  for (int32_t i = 0; i < 4; ++i) {
    const int32_t at = i * kBlockThreads + static_cast<int32_t>(threadIdx.x);
    if (start + at < total) Store(chunk[at], y + start + at);
  }
}

}  // namespace

cudaError_t LaunchQuantize(const void* x, FloatType type, int64_t rows, int64_t n,
                           int64_t rotation_group, int8_t* q, int64_t q_stride, float* scale,
                           cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  if (rows > INT_MAX || n < 1 || q_stride < n) return cudaErrorInvalidValue;
  return DispatchFloat(type, [&](auto* tag) {
    const auto* typed = static_cast<decltype(tag)>(const_cast<void*>(x));
    const unsigned int blocks = static_cast<unsigned int>(rows);
    if (rotation_group == 0) {
      QuantizeKernel<<<blocks, kBlockThreads, 0, stream>>>(typed, n, q, q_stride, scale);
    } else {
      QuantizeRotatedKernel<<<blocks, kBlockThreads, 0, stream>>>(
          typed, n, static_cast<int32_t>(rotation_group), q, q_stride, scale);
    }
    return cudaGetLastError();
  });
}

cudaError_t LaunchRotate(const void* x, FloatType type, int64_t rows, int64_t n, int64_t group,
                         void* y, cudaStream_t stream) {
  const int64_t total = rows * n;
  if (total == 0) return cudaSuccess;
  const int64_t blocks = (total + kChunkValues - 1) / kChunkValues;
  if (blocks > INT_MAX) return cudaErrorInvalidValue;
  return DispatchFloat(type, [&](auto* tag) {
    const auto* typed = static_cast<decltype(tag)>(const_cast<void*>(x));
    RotateKernel<<<static_cast<unsigned int>(blocks), kBlockThreads, 0, stream>>>(
        typed, total, static_cast<int32_t>(group), static_cast<decltype(tag)>(y));
    return cudaGetLastError();
  });
}

}  // namespace wanlite::ops::cuda
