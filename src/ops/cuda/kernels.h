// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Launchers of the CUDA kernels: raw device pointers and a stream, no LibTorch. Asynchronous; they
// return the error of the launch. Same results as the CPU operators, to the bit.
#ifndef WANLITE_SRC_OPS_CUDA_KERNELS_H_
#define WANLITE_SRC_OPS_CUDA_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

namespace wanlite::ops::cuda {

enum class FloatType { kFloat32, kBFloat16, kFloat16 };

// x: [rows, n] -> q: int8 [rows, n] with rows `q_stride` apart, the gap filled with zeros; scale:
// fp32 [rows]. rotation_group: 0 or a group that divides n. 1 <= n, rows <= 2^31 - 1.
cudaError_t LaunchQuantize(const void* x, FloatType type, int64_t rows, int64_t n,
                           int64_t rotation_group, int8_t* q, int64_t q_stride, float* scale,
                           cudaStream_t stream);

// x: [rows, n] -> y of the same type and shape, runs of `group` values rotated.
cudaError_t LaunchRotate(const void* x, FloatType type, int64_t rows, int64_t n, int64_t group,
                         void* y, cudaStream_t stream);

// y[m, n] = (sum over k of a[m, k] * b[n, k]) * (a_scale[m] * b_scale[n]) + bias[n].
// a: int8 [m, k], b: int8 [n, k], both 16-byte aligned with rows k apart, k a multiple of 16; bias:
// fp32 or null; y: contiguous. m, n, k >= 1.
cudaError_t LaunchInt8Gemm(const int8_t* a, const int8_t* b, int64_t m, int64_t n, int64_t k,
                           const float* a_scale, const float* b_scale, const float* bias,
                           FloatType type, void* y, cudaStream_t stream);

// What RowQuantize() makes of a row before it is quantized.
enum class RowOp { kNone, kLayerNorm, kRmsNorm, kGelu };
struct RowQuantize {
  int64_t n = 0;       // features of a row
  bool fours = false;  // rows, and those of gate, begin at addresses for vectors of 4 values
  FloatType type = FloatType::kFloat32;  // that the result is rounded to before it is quantized
  int32_t rotation_group = 0;            // 0: none
  const void* gate = nullptr;            // of GELU, like x: the result is times it; may be null
  // Of norms, [rows / tokens, n]: so many rows of x share one.
  const float* weight = nullptr;
  const float* bias = nullptr;  // of the layer norm
  int64_t weight_tokens = 1, bias_tokens = 1;
  float eps = 0;
};
// Shared memory that a block gets without being asked for more.
inline constexpr int kDefaultSharedBytes = 46 << 10;
// Longest row that the device can take; 0 where that cannot be found out.
int64_t MaxRowQuantizeFeatures(int device);
cudaError_t LaunchRowQuantize(RowOp op, const void* x, FloatType type, int64_t rows,
                              const RowQuantize& args, int8_t* q, float* scales,
                              cudaStream_t stream);

}  // namespace wanlite::ops::cuda

#endif  // WANLITE_SRC_OPS_CUDA_KERNELS_H_
