// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// A norm or GELU and the quantizing of its result in one pass over memory. A block keeps a row in
// shared memory, so that it is read from device memory once.
#include <climits>
#include <type_traits>

#include "src/ops/cuda/float_types.cuh"
#include "src/ops/cuda/kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops::cuda {
namespace {

constexpr int kRowThreads = 256;
constexpr int kRowWarps = kRowThreads / 32;

// Four neighbours at an address that is a multiple of their size together.
__device__ __forceinline__ void LoadFour(const float* x, float (&v)[4]) {
  const float4 four = *reinterpret_cast<const float4*>(x);
  v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
}
__device__ __forceinline__ void LoadFour(const __nv_bfloat16* x, float (&v)[4]) {
  const uint2 four = *reinterpret_cast<const uint2*>(x);
  v[0] = __uint_as_float(four.x << 16), v[1] = __uint_as_float(four.x & 0xffff0000u);
  v[2] = __uint_as_float(four.y << 16), v[3] = __uint_as_float(four.y & 0xffff0000u);
}
__device__ __forceinline__ void LoadFour(const __half* x, float (&v)[4]) {
  const uint2 four = *reinterpret_cast<const uint2*>(x);
  const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&four.x));
  const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&four.y));
  v[0] = low.x, v[1] = low.y, v[2] = high.x, v[3] = high.y;
}

// What a value is after it was stored in a type.
__device__ __forceinline__ float RoundAs(FloatType type, float value) {
  if (type == FloatType::kBFloat16) return __bfloat162float(__float2bfloat16_rn(value));
  if (type == FloatType::kFloat16) return __half2float(__float2half_rn(value));
  return value;
}

// Over all threads of the block, in every thread; the same order each time.
__device__ __forceinline__ float BlockSum(float value, float* warps) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  }
  __syncthreads();  // the last sum's readers are done
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kRowWarps; ++i) sum += warps[i];
  return sum;
}
__device__ __forceinline__ int32_t BlockLargest(int32_t value, float* warps) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value = max(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = __int_as_float(value);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kRowWarps; ++i) value = max(value, __float_as_int(warps[i]));
  return value;
}

// Calls work(i, count) for pieces of [0, n), each of 4 values, or of 1 where rows are not laid out
// for more.
template <typename Work>
__device__ __forceinline__ void ForPieces(int n, bool fours, Work work) {
  const int thread = static_cast<int>(threadIdx.x);
  if (fours) {
    for (int i = 4 * thread; i < n; i += 4 * kRowThreads) work(i, 4);
  } else {
    for (int i = thread; i < n; i += kRowThreads) work(i, 1);
  }
}
template <typename T>
__device__ __forceinline__ void LoadPiece(const T* x, int count, float (&v)[4]) {
  if (count == 4) {
    LoadFour(x, v);
  } else {
    v[0] = ToFloat(x[0]);
  }
}

// Keeps a piece of the row, as after it was stored in a type, with the first step of the rotation
// done where four neighbours are at hand.
__device__ __forceinline__ void KeepPiece(const RowQuantize& args, int i, int count, float (&v)[4],
                                          float* values) {
  if (count == 4) {
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] = RoundAs(args.type, v[k]);
    if (args.rotation_group > 1) Hadamard4(v[0], v[1], v[2], v[3]);
    *reinterpret_cast<float4*>(values + i) = make_float4(v[0], v[1], v[2], v[3]);
  } else {
    values[i] = RoundAs(args.type, v[0]);
  }
}

template <typename T, RowOp kOp>
__global__ void __launch_bounds__(kRowThreads)
    RowQuantizeKernel(const T* __restrict__ x, RowQuantize args, int8_t* __restrict__ q,
                      float* __restrict__ scales) {
  extern __shared__ __align__(16) float values[];
  __shared__ float warps[kRowWarps];
  const int n = static_cast<int>(args.n);
  const int64_t row_index = blockIdx.x;
  const T* row = x + row_index * n;
  const bool fours = args.fours;

  if constexpr (kOp == RowOp::kGelu) {
    const T* gate =
        args.gate == nullptr ? nullptr : static_cast<const T*>(args.gate) + row_index * n;
    ForPieces(n, fours, [&](int i, int count) {
      float v[4], g[4];
      LoadPiece(row + i, count, v);
      if (gate != nullptr) LoadPiece(gate + i, count, g);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (k >= count) break;
        v[k] = GeluTanh(v[k]);
        if (gate != nullptr) v[k] = RoundAs(args.type, v[k]) * g[k];
      }
      KeepPiece(args, i, count, v, values);
    });
  } else if constexpr (kOp == RowOp::kNone) {
    ForPieces(n, fours, [&](int i, int count) {
      float v[4];
      LoadPiece(row + i, count, v);
      KeepPiece(args, i, count, v, values);
    });
  } else {
    float sum = 0;
    ForPieces(n, fours, [&](int i, int count) {
      float v[4];
      LoadPiece(row + i, count, v);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (k >= count) break;
        values[i + k] = v[k];
        sum += kOp == RowOp::kLayerNorm ? v[k] : v[k] * v[k];
      }
    });
    sum = BlockSum(sum, warps);
    float mean = 0, square = sum / n;
    if constexpr (kOp == RowOp::kLayerNorm) {
      mean = sum / n;
      sum = 0;
      ForPieces(n, fours, [&](int i, int count) {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          if (k >= count) break;
          const float d = values[i + k] - mean;
          sum += d * d;
        }
      });
      square = BlockSum(sum, warps) / n;
    }
    const float factor = 1.0f / sqrtf(square + args.eps);
    const float* weight = args.weight + row_index / args.weight_tokens * n;
    const float* bias =
        kOp == RowOp::kLayerNorm ? args.bias + row_index / args.bias_tokens * n : nullptr;
    // Each thread meets the values again that it wrote itself.
    ForPieces(n, fours, [&](int i, int count) {
      float v[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (k >= count) break;
        v[k] = (values[i + k] - mean) * factor * weight[i + k];
        if constexpr (kOp == RowOp::kLayerNorm) v[k] += bias[i + k];
      }
      KeepPiece(args, i, count, v, values);
    });
  }

  for (int stride = fours ? 4 : 1; stride < args.rotation_group; stride *= 4) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < n / 4; i += kRowThreads) {
      float* p = values + HadamardBase(i, stride);
      Hadamard4(p[0], p[stride], p[2 * stride], p[3 * stride]);
    }
  }
  __syncthreads();
  int32_t largest = 0;
  ForPieces(n, fours, [&](int i, int count) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (k < count) largest = max(largest, MagnitudeBits(values[i + k]));
    }
  });
  const float scale = Int8Scale(BlockLargest(largest, warps));
  const float divisor = Int8Divisor(scale);
  int8_t* q_row = q + row_index * n;
  ForPieces(n, fours, [&](int i, int count) {
    if (count == 4) {
      char4 codes;
      codes.x = static_cast<signed char>(QuantizeInt8(values[i], divisor));
      codes.y = static_cast<signed char>(QuantizeInt8(values[i + 1], divisor));
      codes.z = static_cast<signed char>(QuantizeInt8(values[i + 2], divisor));
      codes.w = static_cast<signed char>(QuantizeInt8(values[i + 3], divisor));
      *reinterpret_cast<char4*>(q_row + i) = codes;
    } else {
      q_row[i] = static_cast<int8_t>(QuantizeInt8(values[i], divisor));
    }
  });
  if (threadIdx.x == 0) scales[row_index] = scale;
}

template <typename T, RowOp kOp>
cudaError_t Launch(const T* x, const RowQuantize& args, int64_t rows, int8_t* q, float* scales,
                   cudaStream_t stream) {
  const int bytes = static_cast<int>(args.n * sizeof(float));
  if (bytes > kDefaultSharedBytes) {
    const cudaError_t error = cudaFuncSetAttribute(
        RowQuantizeKernel<T, kOp>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
  }
  RowQuantizeKernel<T, kOp>
      <<<static_cast<unsigned int>(rows), kRowThreads, bytes, stream>>>(x, args, q, scales);
  return cudaGetLastError();
}

}  // namespace

int64_t MaxRowQuantizeFeatures(int device) {
  int bytes = 0;
  if (cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) !=
      cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return (bytes - 1024) / static_cast<int64_t>(sizeof(float));
}

cudaError_t LaunchRowQuantize(RowOp op, const void* x, FloatType type, int64_t rows,
                              const RowQuantize& args, int8_t* q, float* scales,
                              cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  if (rows > INT_MAX || args.n < 1) return cudaErrorInvalidValue;
  return DispatchFloat(type, [&](auto* tag) {
    const auto* typed = static_cast<decltype(tag)>(const_cast<void*>(x));
    using T = std::remove_pointer_t<decltype(tag)>;
    switch (op) {
      case RowOp::kNone:
        return Launch<T, RowOp::kNone>(typed, args, rows, q, scales, stream);
      case RowOp::kLayerNorm:
        return Launch<T, RowOp::kLayerNorm>(typed, args, rows, q, scales, stream);
      case RowOp::kRmsNorm:
        return Launch<T, RowOp::kRmsNorm>(typed, args, rows, q, scales, stream);
      case RowOp::kGelu:
        return Launch<T, RowOp::kGelu>(typed, args, rows, q, scales, stream);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace wanlite::ops::cuda
