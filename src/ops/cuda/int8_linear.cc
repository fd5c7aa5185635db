// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The CUDA operators: checks, memory, stream, launch. Part of libwanlite_cuda, which EnsureCuda()
// loads.
#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <optional>
#include <tuple>
#include <vector>

#include "src/ops/check_args.h"
#include "src/ops/cuda/kernels.h"
#include "src/ops/cuda/tensor_types.h"

namespace wanlite::ops::cuda {
namespace {

// The kernels copy 16 bytes at a time.
constexpr int64_t kAlignment = 16;

// Memory whose address the copies like; views with odd offsets are copied.
at::Tensor Aligned(const at::Tensor& tensor) {
  at::Tensor dense = tensor.contiguous();
  return reinterpret_cast<uintptr_t>(dense.const_data_ptr()) % kAlignment == 0 ? dense
                                                                               : dense.clone();
}

int64_t RowsOf(const at::Tensor& x) {
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < x.dim(); ++i) rows *= x.size(i);
  return rows;
}

int64_t Padded(int64_t features) { return (features + kAlignment - 1) / kAlignment * kAlignment; }

// The product of quantized tokens, int8 [rows, padded features] at an aligned address, scaled back:
// [..., out] in `dtype`. shape: of the tokens before padding; scale: fp32, one per token,
// contiguous.
at::Tensor Product(const char* op, at::IntArrayRef shape, const at::Tensor& q,
                   const at::Tensor& scale, const at::Tensor& weight,
                   const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                   at::ScalarType dtype) {
  const int64_t n = weight.size(0);
  const int64_t k = weight.size(1);
  const int64_t padded = Padded(k);
  std::vector<int64_t> result_shape = shape.vec();
  result_shape.back() = n;
  at::Tensor y = at::empty(result_shape, weight.options().dtype(dtype));
  if (y.numel() == 0) return y;
  TORCH_CHECK(k > 0, "wanlite::", op, " on CUDA needs at least one input feature");
  // Only layers of odd widths pay for a padded copy.
  const at::Tensor weights =
      Aligned(padded == k ? weight : at::constant_pad_nd(weight, {0, padded - k}));
  const at::Tensor weight_scales = weight_scale.contiguous();
  const at::Tensor biases = bias.has_value() ? bias->to(at::kFloat).contiguous() : at::Tensor();
  C10_CUDA_CHECK(
      LaunchInt8Gemm(q.const_data_ptr<int8_t>(), weights.const_data_ptr<int8_t>(), y.numel() / n, n,
                     padded, scale.const_data_ptr<float>(), weight_scales.const_data_ptr<float>(),
                     biases.defined() ? biases.const_data_ptr<float>() : nullptr, TypeOf(y),
                     y.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return y;
}

// Tokens [rows, n] of x, dense, into q [rows, q_stride] and scale [rows].
void QuantizeRows(const at::Tensor& x, int64_t rows, int64_t rotation_group, int8_t* q,
                  int64_t q_stride, float* scale) {
  const int64_t n = x.size(-1);
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  // Rotated rows want to be in one place.
  if (rotation_group != 0 && q_stride == n && n <= MaxRowQuantizeFeatures(x.device().index())) {
    RowQuantize args;
    args.n = n;
    args.fours = reinterpret_cast<uintptr_t>(x.const_data_ptr()) % kAlignment == 0;
    args.rotation_group = static_cast<int32_t>(rotation_group);
    C10_CUDA_CHECK(LaunchRowQuantize(RowOp::kNone, x.const_data_ptr(), TypeOf(x), rows, args, q,
                                     scale, stream));
    return;
  }
  C10_CUDA_CHECK(LaunchQuantize(x.const_data_ptr(), TypeOf(x), rows, n, rotation_group, q, q_stride,
                                scale, stream));
}

at::Tensor Int8LinearCuda(const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                          int64_t rotation_group) {
  CheckInt8LinearArgs(x, weight, weight_scale, bias, rotation_group);
  const c10::cuda::CUDAGuard guard(x.device());
  const int64_t rows = RowsOf(x);
  const int64_t k = weight.size(1);
  const at::Tensor q = at::empty({rows, Padded(k)}, x.options().dtype(at::kChar));
  const at::Tensor scale = at::empty({rows}, x.options().dtype(at::kFloat));
  if (x.numel() > 0) {
    const at::Tensor tokens = x.contiguous();
    QuantizeRows(tokens, rows, rotation_group, q.mutable_data_ptr<int8_t>(), Padded(k),
                 scale.mutable_data_ptr<float>());
  }
  return Product("int8_linear", x.sizes(), q, scale, weight, weight_scale, bias, x.scalar_type());
}

at::Tensor Int8GemmCuda(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                        const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                        at::ScalarType dtype) {
  CheckInt8GemmArgs(q, scale, weight, weight_scale, bias, dtype);
  const c10::cuda::CUDAGuard guard(q.device());
  const int64_t k = weight.size(1);
  const at::Tensor tokens =
      Aligned(Padded(k) == k ? q : at::constant_pad_nd(q, {0, Padded(k) - k}));
  return Product("int8_gemm", q.sizes(), tokens, scale.contiguous(), weight, weight_scale, bias,
                 dtype);
}

std::tuple<at::Tensor, at::Tensor> QuantizePerTokenCuda(const at::Tensor& x,
                                                        int64_t rotation_group) {
  CheckQuantizeArgs("quantize_per_token", x, rotation_group);
  const c10::cuda::CUDAGuard guard(x.device());
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  at::Tensor q = at::empty(x.sizes(), x.options().dtype(at::kChar));
  at::Tensor scale = at::zeros(scale_shape, x.options().dtype(at::kFloat));
  if (x.numel() == 0) return {q, scale};
  const at::Tensor tokens = x.contiguous();
  QuantizeRows(tokens, RowsOf(x), rotation_group, q.mutable_data_ptr<int8_t>(), x.size(-1),
               scale.mutable_data_ptr<float>());
  return {q, scale};
}

at::Tensor HadamardRotateCuda(const at::Tensor& x, int64_t group) {
  CheckFloating("hadamard_rotate", x);
  CheckRotationGroup("hadamard_rotate", group, x.size(-1));
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor source = x.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  C10_CUDA_CHECK(LaunchRotate(source.const_data_ptr(), TypeOf(x), RowsOf(x), x.size(-1), group,
                              y.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return y;
}

TORCH_LIBRARY_IMPL(wanlite, CUDA, m) {
  m.impl("int8_linear", &Int8LinearCuda);
  m.impl("quantize_per_token", &QuantizePerTokenCuda);
  m.impl("int8_gemm", &Int8GemmCuda);
  m.impl("hadamard_rotate", &HadamardRotateCuda);
}

}  // namespace
}  // namespace wanlite::ops::cuda

// For EnsureCuda(): how many usable devices there are; else the runtime's error number and its
// text.
extern "C" int wanlite_cuda_probe(int* device_count, const char** error_text) {
  const cudaError_t error = cudaGetDeviceCount(device_count);
  *error_text = cudaGetErrorString(error);
  // A failed query must not turn up in somebody else's check.
  if (error != cudaSuccess) (void)cudaGetLastError();
  return static_cast<int>(error);
}
