// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// INT8 matrix product with the scales and the bias in its epilogue. Tensor cores by mma.sync (sm_80
// and newer), operands through a three-stage pipeline of asynchronous copies. The maps of threads
// to data are in int8_tiles.h.
#include <climits>

#include "src/ops/cuda/float_types.cuh"
#include "src/ops/cuda/int8_tiles.h"
#include "src/ops/cuda/kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops::cuda {
namespace {

// Copies 16 bytes to shared memory, or writes zeros there when `valid` is false.
__device__ __forceinline__ void CopyAsync(uint32_t shared, const int8_t* global, bool valid) {
  const int bytes = valid ? kChunk : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared), "l"(global),
               "r"(bytes));
}
__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;\n" ::); }
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending));
}

__device__ __forceinline__ void LoadMatrices(uint32_t shared, uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared));
}

__device__ __forceinline__ void MultiplyAdd(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                            uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Starts copying features k0 ... k0 + 63 of 128 rows into one operand's stage.
__device__ __forceinline__ void CopyOperand(uint32_t stage, const int8_t* __restrict__ source,
                                            int64_t first_row, int64_t rows, int64_t k0,
                                            int64_t k) {
#pragma unroll
  for (int step = 0; step < kCopiesPerThread; ++step) {
    const Place place = CopyPlace(static_cast<int>(threadIdx.x), step);
    const int64_t row = first_row + place.row;
    const int64_t feature = k0 + place.chunk * kChunk;
    const bool valid = row < rows && feature < k;
    // An address inside the operand even where nothing is read.
    CopyAsync(stage + SharedOffset(place.row, place.chunk),
              source + (valid ? row * k + feature : 0), valid);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    Int8GemmKernel(const int8_t* __restrict__ a, const int8_t* __restrict__ b, int64_t m, int64_t n,
                   int64_t k, const float* __restrict__ a_scale, const float* __restrict__ b_scale,
                   const float* __restrict__ bias, T* __restrict__ y) {
  __shared__ __align__(128) int8_t shared[kStages * 2 * kOperandBytes];
  const uint32_t base = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const Tile tile = TileOfBlock(blockIdx.x, (m + kTileM - 1) / kTileM, (n + kTileN - 1) / kTileN);
  const int64_t first_m = tile.m * kTileM;
  const int64_t first_n = tile.n * kTileN;
  const int lane = static_cast<int>(threadIdx.x) & 31;
  const int warp = static_cast<int>(threadIdx.x) >> 5;
  const int warp_m = warp / kWarpsN * kWarpM;
  const int warp_n = warp % kWarpsN * kWarpN;

  int32_t sums[kWarpM / 16][kWarpN / 8][4];
#pragma unroll
  for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
    for (int j = 0; j < kWarpN / 8; ++j) {
#pragma unroll
      for (int v = 0; v < 4; ++v) sums[i][j][v] = 0;
    }
  }

  const int steps = static_cast<int>((k + kTileK - 1) / kTileK);
  const auto copy = [&](int step) {
    if (step < steps) {
      const uint32_t stage = base + step % kStages * (2 * kOperandBytes);
      CopyOperand(stage, a, first_m, m, int64_t{step} * kTileK, k);
      CopyOperand(stage + kOperandBytes, b, first_n, n, int64_t{step} * kTileK, k);
    }
    CommitCopies();  // an empty group at the end keeps the count of pending groups
  };
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) copy(step);

  for (int step = 0; step < steps; ++step) {
    WaitForCopies<kStages - 2>();
    // After it this step's data is visible, and nobody reads the stage that is filled next.
    __syncthreads();
    copy(step + kStages - 1);
    const uint32_t stage_a = base + step % kStages * (2 * kOperandBytes);
    const uint32_t stage_b = stage_a + kOperandBytes;
#pragma unroll
    for (int half = 0; half < kTileK / 32; ++half) {
      uint32_t weights[kWarpN / 16][4];
#pragma unroll
      for (int j = 0; j < kWarpN / 16; ++j) {
        const Place place = WeightFragment(lane, warp_n + j * 16, half);
        LoadMatrices(stage_b + SharedOffset(place.row, place.chunk), weights[j]);
      }
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) {
        uint32_t tokens[4];
        const Place place = TokenFragment(lane, warp_m + i * 16, half);
        LoadMatrices(stage_a + SharedOffset(place.row, place.chunk), tokens);
#pragma unroll
        for (int j = 0; j < kWarpN / 8; ++j) {
          MultiplyAdd(sums[i][j], tokens, weights[j / 2][j % 2 * 2], weights[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
  }

  const bool pairs = n % 2 == 0;
#pragma unroll
  for (int j = 0; j < kWarpN / 8; ++j) {
    const int64_t column = first_n + warp_n + j * 8 + SumColumn(lane, 0);
    if (column >= n) continue;
    const bool second = column + 1 < n;
    const float scale0 = b_scale[column];
    const float scale1 = second ? b_scale[column + 1] : 0.0f;
    const float bias0 = bias != nullptr ? bias[column] : 0.0f;
    const float bias1 = bias != nullptr && second ? bias[column + 1] : 0.0f;
#pragma unroll
    for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
      for (int v = 0; v < 4; v += 2) {
        const int64_t row = first_m + warp_m + i * 16 + SumRow(lane, v);
        if (row >= m) continue;
        const float scale = a_scale[row];
        const float y0 = DequantizeSum(sums[i][j][v], scale, scale0, bias0);
        const float y1 = DequantizeSum(sums[i][j][v + 1], scale, scale1, bias1);
        T* out = y + row * n + column;
        if (pairs) {
          StorePair(y0, y1, out);
        } else {
          Store(y0, out);
          if (second) Store(y1, out + 1);
        }
      }
    }
  }
}

}  // namespace

cudaError_t LaunchInt8Gemm(const int8_t* a, const int8_t* b, int64_t m, int64_t n, int64_t k,
                           const float* a_scale, const float* b_scale, const float* bias,
                           FloatType type, void* y, cudaStream_t stream) {
  if (m == 0 || n == 0) return cudaSuccess;
  const int64_t blocks = ((m + kTileM - 1) / kTileM) * ((n + kTileN - 1) / kTileN);
  const bool aligned = reinterpret_cast<uintptr_t>(a) % kChunk == 0 &&
                       reinterpret_cast<uintptr_t>(b) % kChunk == 0 && k % kChunk == 0;
  if (k < 1 || blocks > INT_MAX || !aligned) return cudaErrorInvalidValue;
  return DispatchFloat(type, [&](auto* tag) {
    Int8GemmKernel<<<static_cast<unsigned int>(blocks), kThreads, 0, stream>>>(
        a, b, m, n, k, a_scale, b_scale, bias, static_cast<decltype(tag)>(y));
    return cudaGetLastError();
  });
}

}  // namespace wanlite::ops::cuda
