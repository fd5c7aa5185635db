// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The CPU operators: reading tokens of any dtype, quantizing, scaling back. Oracle of the CUDA
// tests.

#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/check_args.h"
#include "src/ops/cpu/int8_gemm.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {
namespace {

// Rotates the row in place and quantizes it into `q`. Returns its scale.
float QuantizeValues(const Int8Kernels& kernels, int64_t n, int64_t rotation_group, float* values,
                     int8_t* q) {
  if (rotation_group != 0) kernels.rotate(values, n, rotation_group);
  const float scale = Int8Scale(kernels.max_magnitude(values, n));
  kernels.quantize(values, n, Int8Divisor(scale), q);
  return scale;
}

// The same of a row of any dtype, which is widened into `values`.
template <typename T>
float QuantizeToken(const Int8Kernels& kernels, const T* row, int64_t n, int64_t rotation_group,
                    float* values, int8_t* q) {
  ReadRow(row, n, values);
  return QuantizeValues(kernels, n, rotation_group, values, q);
}

// The product with the tokens that `read_token` gives, scaled back: [..., out] in `dtype`. shape:
// of the tokens; scales: one per token, filled by `read_token` at the latest.
at::Tensor Product(at::IntArrayRef shape, TokenReader read_token, const float* scales,
                   const at::Tensor& weight, const at::Tensor& weight_scale,
                   const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  const int64_t n = weight.size(0);
  const int64_t k = weight.size(1);
  const int64_t m = c10::multiply_integers(shape.slice(0, shape.size() - 1));
  const at::Tensor weights = weight.contiguous();
  const at::Tensor weight_scales = weight_scale.contiguous();
  // A bias of zeros where there is none: adding +0 changes no value but the sign of -0.
  const at::Tensor biases =
      bias.has_value() ? bias->to(at::kFloat).contiguous() : at::zeros({n}, at::dtype(at::kFloat));
  std::vector<int64_t> result_shape = shape.vec();
  result_shape.back() = n;
  at::Tensor result = at::empty(result_shape, at::dtype(dtype));
  const float* weight_scale_data = weight_scales.const_data_ptr<float>();
  const float* bias_data = biases.const_data_ptr<float>();
  DispatchFloating(dtype, [&](auto tag) {
    auto* result_data = result.mutable_data_ptr<decltype(tag)>();
    Int8Gemm(ActiveCpuIsa(), m, n, k, read_token, weights.const_data_ptr<int8_t>(),
             [&](int64_t row, int64_t first, int64_t columns, const int32_t* sums) {
               float values[kMaxTileColumns];
               const float scale = scales[row];
               for (int64_t i = 0; i < columns; ++i) {
                 values[i] = DequantizeSum(sums[i], scale, weight_scale_data[first + i],
                                           bias_data[first + i]);
               }
               WriteRow(values, columns, result_data + row * n + first);
             });
  });
  return result;
}

at::Tensor Int8LinearCpu(const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                         int64_t rotation_group) {
  CheckInt8LinearArgs(x, weight, weight_scale, bias, rotation_group);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const int64_t k = weight.size(1);
  const at::Tensor tokens = x.contiguous();
  std::vector<float> scales(RowsOf(x));
  at::Tensor result;
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* token_data = tokens.const_data_ptr<decltype(tag)>();
    const auto read_token = [&](int64_t row, int8_t* q) {
      scales[row] =
          QuantizeToken(kernels, token_data + row * k, k, rotation_group, ThreadRow(k), q);
    };
    result =
        Product(x.sizes(), read_token, scales.data(), weight, weight_scale, bias, x.scalar_type());
  });
  return result;
}

at::Tensor Int8GemmCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                       at::ScalarType dtype) {
  CheckInt8GemmArgs(q, scale, weight, weight_scale, bias, dtype);
  const int64_t k = weight.size(1);
  const at::Tensor tokens = q.contiguous();
  const at::Tensor scales = scale.contiguous();
  const int8_t* token_data = tokens.const_data_ptr<int8_t>();
  const auto read_token = [&](int64_t row, int8_t* out) {
    std::copy_n(token_data + row * k, k, out);
  };
  return Product(q.sizes(), read_token, scales.const_data_ptr<float>(), weight, weight_scale, bias,
                 dtype);
}

// q int8 of x's shape and scale fp32 [..., 1].
std::tuple<at::Tensor, at::Tensor> NewQuantized(const at::Tensor& x) {
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  return {at::empty(x.sizes(), x.options().dtype(at::kChar)),
          at::zeros(scale_shape, x.options().dtype(at::kFloat))};
}

std::tuple<at::Tensor, at::Tensor> QuantizePerTokenCpu(const at::Tensor& x,
                                                       int64_t rotation_group) {
  CheckQuantizeArgs("quantize_per_token", x, rotation_group);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const at::Tensor tokens = x.contiguous();
  const int64_t n = x.size(-1);
  auto [q, scale] = NewQuantized(x);
  if (n == 0) return {q, scale};
  int8_t* q_data = q.mutable_data_ptr<int8_t>();
  float* scale_data = scale.mutable_data_ptr<float>();
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* token_data = tokens.const_data_ptr<decltype(tag)>();
    at::parallel_for(0, scale.numel(), 16, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        scale_data[row] = QuantizeToken(kernels, token_data + row * n, n, rotation_group,
                                        ThreadRow(n), q_data + row * n);
      }
    });
  });
  return {q, scale};
}

// Calls take(row, y) with every row of the norm, rounded to `dtype` and widened again; y may be
// written to.
template <typename TakeFn>
void NormaliseRows(const char* op, const at::Tensor& x, const at::Tensor& weight,
                   const at::Tensor& bias, double eps, at::ScalarType dtype, TakeFn take) {
  CheckFloating(op, x);
  CheckResultDtype(op, dtype);
  const int64_t weight_tokens = TokensPerRow(op, "weight", x, weight);
  const int64_t bias_tokens = TokensPerRow(op, "bias", x, bias);
  const int64_t n = x.size(-1);
  if (x.numel() == 0) return;
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const at::Tensor tokens = x.contiguous(), weights = weight.contiguous(),
                   biases = bias.contiguous();
  const float* weight_data = weights.const_data_ptr<float>();
  const float* bias_data = biases.const_data_ptr<float>();
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* token_data = tokens.const_data_ptr<decltype(tag)>();
    DispatchFloating(dtype, [&](auto rounded_tag) {
      using Rounded = decltype(rounded_tag);
      at::parallel_for(0, RowsOf(x), 16, [&](int64_t begin, int64_t end) {
        std::vector<Rounded> rounded(std::is_same_v<Rounded, float> ? 0 : n);
        float* values = ThreadRow(n);
        for (int64_t row = begin; row < end; ++row) {
          ReadRow(token_data + row * n, n, values);
          kernels.layer_norm(values, n, static_cast<float>(eps),
                             weight_data + row / weight_tokens * n,
                             bias_data + row / bias_tokens * n);
          if constexpr (!std::is_same_v<Rounded, float>) {
            WriteRow(values, n, rounded.data());
            ReadRow(rounded.data(), n, values);
          }
          take(row, values);
        }
      });
    });
  });
}

at::Tensor LayerNormCpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        double eps, at::ScalarType dtype) {
  at::Tensor y = at::empty(x.sizes(), x.options().dtype(dtype));
  NormaliseRows("layer_norm", x, weight, bias, eps, dtype, [&](int64_t row, const float* values) {
    DispatchFloating(dtype, [&](auto tag) {
      const int64_t n = x.size(-1);
      WriteRow(values, n, y.mutable_data_ptr<decltype(tag)>() + row * n);
    });
  });
  return y;
}

std::tuple<at::Tensor, at::Tensor> LayerNormQuantizeCpu(const at::Tensor& x,
                                                        const at::Tensor& weight,
                                                        const at::Tensor& bias, double eps,
                                                        at::ScalarType dtype,
                                                        int64_t rotation_group) {
  CheckQuantizeArgs("layer_norm_quantize", x, rotation_group);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  auto [q, scale] = NewQuantized(x);
  int8_t* q_data = q.mutable_data_ptr<int8_t>();
  float* scale_data = scale.mutable_data_ptr<float>();
  const int64_t n = x.size(-1);
  NormaliseRows(
      "layer_norm_quantize", x, weight, bias, eps, dtype, [&](int64_t row, float* values) {
        scale_data[row] = QuantizeValues(kernels, n, rotation_group, values, q_data + row * n);
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
  m.impl("int8_gemm", &Int8GemmCpu);
  m.impl("layer_norm", &LayerNormCpu);
  m.impl("layer_norm_quantize", &LayerNormQuantizeCpu);
  m.impl("hadamard_rotate", &HadamardRotateCpu);
}

}  // namespace
}  // namespace wanlite::ops
