// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The CPU operators: reading tokens of any dtype, quantizing, scaling back. Oracle of the CUDA
// tests.

#include <torch/library.h>

#include "src/core/libtorch.h"
#include "src/ops/check_args.h"
#include "src/ops/cpu/int8_gemm.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {
namespace {

// Rows of a contiguous tensor [rows, n] as fp32.
template <typename T>
void ReadRow(const T* row, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(row[i]);
}

// Round half to even, without the branch of c10's conversion, so that the loop vectorises.
void WriteRow(const float* row, int64_t n, at::BFloat16* out) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(FloatBits(row[i]));
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7fffffffu) > static_cast<uint32_t>(kInfinityBits);
    out[i].x = static_cast<uint16_t>(nan ? 0x7fc0u : rounded);
  }
}
void WriteRow(const float* row, int64_t n, at::Half* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<at::Half>(row[i]);
}
void WriteRow(const float* row, int64_t n, float* out) { std::copy_n(row, n, out); }

// Reads the row as fp32 into `values`, rotates it, and quantizes it into `q`. Returns its scale.
template <typename T>
float QuantizeToken(const Int8Kernels& kernels, const T* row, int64_t n, int64_t rotation_group,
                    float* values, int8_t* q) {
  ReadRow(row, n, values);
  if (rotation_group != 0) kernels.rotate(values, n, rotation_group);
  const float scale = Int8Scale(kernels.max_magnitude(values, n));
  kernels.quantize(values, n, Int8Divisor(scale), q);
  return scale;
}

// A row-sized buffer of each thread, kept between calls.
float* ThreadRow(int64_t n) {
  thread_local std::vector<float> row;
  if (static_cast<int64_t>(row.size()) < n) row.resize(n);
  return row.data();
}

template <typename Function>
void DispatchFloating(at::ScalarType dtype, Function function) {
  switch (dtype) {
    case at::kBFloat16:
      return function(at::BFloat16{});
    case at::kHalf:
      return function(at::Half{});
    default:
      return function(float{});
  }
}

at::Tensor Int8LinearCpu(const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                         int64_t rotation_group) {
  CheckInt8LinearArgs(x, weight, weight_scale, bias, rotation_group);
  const CpuIsa isa = ActiveCpuIsa();
  const Int8Kernels& kernels = Int8KernelsFor(isa);
  const int64_t k = weight.size(1);
  const int64_t n = weight.size(0);
  const at::Tensor tokens = x.contiguous();
  const at::Tensor weights = weight.contiguous();
  const at::Tensor weight_scales = weight_scale.contiguous();
  // A bias of zeros where there is none: adding +0 changes no value but the sign of -0.
  const at::Tensor biases =
      bias.has_value() ? bias->to(at::kFloat).contiguous() : at::zeros({n}, at::dtype(at::kFloat));
  std::vector<int64_t> shape = x.sizes().vec();
  const int64_t m =
      k == 0 ? c10::multiply_integers(x.sizes().slice(0, x.dim() - 1)) : x.numel() / k;
  shape.back() = n;
  at::Tensor result = at::empty(shape, x.options());
  std::vector<float> scales(m);
  const float* weight_scale_data = weight_scales.const_data_ptr<float>();
  const float* bias_data = biases.const_data_ptr<float>();
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    using T = decltype(tag);
    const T* token_data = tokens.const_data_ptr<T>();
    T* result_data = result.mutable_data_ptr<T>();
    Int8Gemm(
        isa, m, n, k,
        [&](int64_t row, int8_t* q) {
          scales[row] =
              QuantizeToken(kernels, token_data + row * k, k, rotation_group, ThreadRow(k), q);
        },
        weights.const_data_ptr<int8_t>(),
        [&](int64_t row, int64_t first, int64_t columns, const int32_t* sums) {
          float values[kMaxTileColumns];
          const float scale = scales[row];
          for (int64_t i = 0; i < columns; ++i) {
            values[i] =
                DequantizeSum(sums[i], scale, weight_scale_data[first + i], bias_data[first + i]);
          }
          WriteRow(values, columns, result_data + row * n + first);
        });
  });
  return result;
}

std::tuple<at::Tensor, at::Tensor> QuantizePerTokenCpu(const at::Tensor& x) {
  CheckFloating("quantize_per_token", x);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const at::Tensor tokens = x.contiguous();
  const int64_t n = x.size(-1);
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  at::Tensor q = at::empty(x.sizes(), x.options().dtype(at::kChar));
  at::Tensor scale = at::zeros(scale_shape, x.options().dtype(at::kFloat));
  if (n == 0) return {q, scale};
  int8_t* q_data = q.mutable_data_ptr<int8_t>();
  float* scale_data = scale.mutable_data_ptr<float>();
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* token_data = tokens.const_data_ptr<decltype(tag)>();
    at::parallel_for(0, scale.numel(), 16, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        scale_data[row] = QuantizeToken(kernels, token_data + row * n, n, /*rotation_group=*/0,
                                        ThreadRow(n), q_data + row * n);
      }
    });
  });
  return {q, scale};
}

at::Tensor HadamardRotateCpu(const at::Tensor& x, int64_t group) {
  CheckFloating("hadamard_rotate", x);
  CheckRotationGroup("hadamard_rotate", group, x.size(-1));
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const at::Tensor source = x.contiguous();
  at::Tensor result = at::empty(x.sizes(), x.options());
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    using T = decltype(tag);
    const T* source_data = source.const_data_ptr<T>();
    T* result_data = result.mutable_data_ptr<T>();
    at::parallel_for(0, x.numel() / group, 64, [&](int64_t begin, int64_t end) {
      float values[kMaxRotationGroup];
      for (int64_t run = begin; run < end; ++run) {
        ReadRow(source_data + run * group, group, values);
        kernels.rotate(values, group, group);
        WriteRow(values, group, result_data + run * group);
      }
    });
  });
  return result;
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("int8_linear", &Int8LinearCpu);
  m.impl("quantize_per_token", &QuantizePerTokenCpu);
  m.impl("hadamard_rotate", &HadamardRotateCpu);
}

}  // namespace
}  // namespace wanlite::ops
