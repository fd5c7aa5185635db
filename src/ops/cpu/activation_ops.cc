// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Norms, GELU, rotation and quantizing, row by row. Oracle of the CUDA tests.

#include <c10/util/FunctionRef.h>
#include <torch/library.h>

#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/ops/check_args.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/quantize_row.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {
namespace {

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
  const int64_t n = x.size(-1);
  auto [q, scale] = NewQuantized(x);
  if (n == 0) return {q, scale};
  int8_t* q_data = q.mutable_data_ptr<int8_t>();
  float* scale_data = scale.mutable_data_ptr<float>();
  ForEachRow(x, [&](int64_t row, float* values) {
    scale_data[row] = QuantizeValues(kernels, n, rotation_group, values, q_data + row * n);
  });
  return {q, scale};
}

// Rounds a row to a dtype and widens it again.
template <typename Rounded>
class RowRounder {
 public:
  explicit RowRounder(int64_t n) : rounded_(std::is_same_v<Rounded, float> ? 0 : n), n_(n) {}
  void operator()(float* values) {
    if constexpr (!std::is_same_v<Rounded, float>) {
      WriteRow(values, n_, rounded_.data());
      ReadRow(rounded_.data(), n_, values);
    }
  }

 private:
  std::vector<Rounded> rounded_;
  int64_t n_;
};

// Of every row of x as fp32: make(row, values, round) computes in place, then take(row, values)
// gets it, rounded to `dtype` and widened again. round(values) is that rounding.
template <typename MakeFn, typename TakeFn>
void ForRows(const char* op, const at::Tensor& x, at::ScalarType dtype, MakeFn make, TakeFn take) {
  CheckFloating(op, x);
  CheckResultDtype(op, dtype);
  const int64_t n = x.size(-1);
  if (x.numel() == 0) return;
  const at::Tensor tokens = x.contiguous();
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* token_data = tokens.const_data_ptr<decltype(tag)>();
    DispatchFloating(dtype, [&](auto rounded_tag) {
      ParallelFor(0, RowsOf(x), 16, [&](int64_t begin, int64_t end) {
        RowRounder<decltype(rounded_tag)> round(n);
        float* values = ThreadRow(n);
        for (int64_t row = begin; row < end; ++row) {
          ReadRow(token_data + row * n, n, values);
          make(row, values, round);
          round(values);
          take(row, values);
        }
      });
    });
  });
}

// Calls take(row, values) with each row of an operator on x.
using RowTaker = c10::function_ref<void(int64_t row, float* values)>;
using RowOperator = c10::function_ref<void(RowTaker take)>;

// The rows as a tensor of x's shape.
at::Tensor AsTensor(const at::Tensor& x, at::ScalarType dtype, RowOperator rows) {
  at::Tensor y = at::empty(x.sizes(), x.options().dtype(dtype));
  const int64_t n = x.size(-1);
  DispatchFloating(dtype, [&](auto tag) {
    auto* data = y.mutable_data_ptr<decltype(tag)>();
    rows([&](int64_t row, float* values) { WriteRow(values, n, data + row * n); });
  });
  return y;
}

// The rows quantized.
std::tuple<at::Tensor, at::Tensor> AsQuantized(const char* op, const at::Tensor& x,
                                               int64_t rotation_group, RowOperator rows) {
  CheckQuantizeArgs(op, x, rotation_group);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  auto [q, scale] = NewQuantized(x);
  int8_t* q_data = q.mutable_data_ptr<int8_t>();
  float* scale_data = scale.mutable_data_ptr<float>();
  const int64_t n = x.size(-1);
  rows([&](int64_t row, float* values) {
    scale_data[row] = QuantizeValues(kernels, n, rotation_group, values, q_data + row * n);
  });
  return {q, scale};
}

void LayerNormRows(const char* op, const at::Tensor& x, const at::Tensor& weight,
                   const at::Tensor& bias, double eps, at::ScalarType dtype, RowTaker take) {
  CheckFloating(op, x);
  const int64_t weight_tokens = TokensPerRow(op, "weight", x, weight);
  const int64_t bias_tokens = TokensPerRow(op, "bias", x, bias);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const int64_t n = x.size(-1);
  const at::Tensor weights = weight.contiguous(), biases = bias.contiguous();
  const float* weight_data = weights.const_data_ptr<float>();
  const float* bias_data = biases.const_data_ptr<float>();
  ForRows(
      op, x, dtype,
      [&](int64_t row, float* values, auto&) {
        kernels.layer_norm(values, n, static_cast<float>(eps),
                           weight_data + row / weight_tokens * n,
                           bias_data + row / bias_tokens * n);
      },
      take);
}

void RmsNormRows(const char* op, const at::Tensor& x, const at::Tensor& weight, double eps,
                 at::ScalarType dtype, RowTaker take) {
  CheckFloating(op, x);
  const int64_t weight_tokens = TokensPerRow(op, "weight", x, weight);
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const int64_t n = x.size(-1);
  const at::Tensor weights = weight.contiguous();
  const float* weight_data = weights.const_data_ptr<float>();
  ForRows(
      op, x, dtype,
      [&](int64_t row, float* values, auto&) {
        kernels.rms_norm(values, n, static_cast<float>(eps), weight_data + row / weight_tokens * n);
      },
      take);
}

void GeluRows(const char* op, const at::Tensor& x, const std::optional<at::Tensor>& gate,
              RowTaker take) {
  CheckFloating(op, x);
  if (gate.has_value()) {
    TORCH_CHECK(gate->sizes() == x.sizes() && gate->scalar_type() == x.scalar_type() &&
                    gate->device() == x.device(),
                "wanlite::", op, ": gate must be like x, ", x.scalar_type(), " ", x.sizes(),
                ", found ", gate->scalar_type(), " ", gate->sizes());
  }
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const int64_t n = x.size(-1);
  if (!gate.has_value()) {
    ForRows(
        op, x, x.scalar_type(), [&](int64_t, float* values, auto&) { kernels.gelu(values, n); },
        take);
    return;
  }
  const at::Tensor gates = gate->contiguous();
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* gate_data = gates.const_data_ptr<decltype(tag)>();
    ForRows(
        op, x, x.scalar_type(),
        [&](int64_t row, float* values, auto& round) {
          kernels.gelu(values, n);
          round(values);
          const auto* of_row = gate_data + row * n;
          for (int64_t i = 0; i < n; ++i) values[i] *= static_cast<float>(of_row[i]);
        },
        take);
  });
}

at::Tensor LayerNormCpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        double eps, at::ScalarType dtype) {
  CheckFloating("layer_norm", x);
  CheckResultDtype("layer_norm", dtype);
  return AsTensor(x, dtype, [&](RowTaker take) {
    LayerNormRows("layer_norm", x, weight, bias, eps, dtype, take);
  });
}

std::tuple<at::Tensor, at::Tensor> LayerNormQuantizeCpu(const at::Tensor& x,
                                                        const at::Tensor& weight,
                                                        const at::Tensor& bias, double eps,
                                                        at::ScalarType dtype,
                                                        int64_t rotation_group) {
  const char* op = "layer_norm_quantize";
  return AsQuantized(op, x, rotation_group,
                     [&](RowTaker take) { LayerNormRows(op, x, weight, bias, eps, dtype, take); });
}

at::Tensor RmsNormCpu(const at::Tensor& x, const at::Tensor& weight, double eps,
                      at::ScalarType dtype) {
  CheckFloating("rms_norm", x);
  CheckResultDtype("rms_norm", dtype);
  return AsTensor(x, dtype,
                  [&](RowTaker take) { RmsNormRows("rms_norm", x, weight, eps, dtype, take); });
}

std::tuple<at::Tensor, at::Tensor> RmsNormQuantizeCpu(const at::Tensor& x, const at::Tensor& weight,
                                                      double eps, at::ScalarType dtype,
                                                      int64_t rotation_group) {
  const char* op = "rms_norm_quantize";
  return AsQuantized(op, x, rotation_group,
                     [&](RowTaker take) { RmsNormRows(op, x, weight, eps, dtype, take); });
}

at::Tensor RmsNormRotaryCpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rotary,
                            double eps) {
  const char* op = "rms_norm_rotary";
  CheckFloating(op, x);
  TORCH_CHECK(x.dim() == 3 && rotary.dim() == 2 && rotary.scalar_type() == at::kComplexFloat &&
                  rotary.size(0) == x.size(1) && rotary.size(1) >= 1 &&
                  x.size(2) % (2 * rotary.size(1)) == 0 && rotary.is_cpu(),
              "wanlite::", op, ": x is ", x.sizes(), ", the table of rotations ",
              rotary.scalar_type(), " ", rotary.sizes());
  const Int8Kernels& kernels = Int8KernelsFor(ActiveCpuIsa());
  const at::Tensor table = at::view_as_real(rotary.contiguous());
  const float* data = table.const_data_ptr<float>();
  const int64_t n = x.size(2), tokens = x.size(1), dim = 2 * rotary.size(1);
  return AsTensor(x, x.scalar_type(), [&](RowTaker take) {
    RmsNormRows(op, x, weight, eps, x.scalar_type(), [&](int64_t row, float* values) {
      kernels.rotary(values, n, data + row % tokens * dim, dim);
      take(row, values);
    });
  });
}

at::Tensor GeluCpu(const at::Tensor& x, const std::optional<at::Tensor>& gate) {
  CheckFloating("gelu", x);
  return AsTensor(x, x.scalar_type(), [&](RowTaker take) { GeluRows("gelu", x, gate, take); });
}

std::tuple<at::Tensor, at::Tensor> GeluQuantizeCpu(const at::Tensor& x,
                                                   const std::optional<at::Tensor>& gate,
                                                   int64_t rotation_group) {
  return AsQuantized("gelu_quantize", x, rotation_group,
                     [&](RowTaker take) { GeluRows("gelu_quantize", x, gate, take); });
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
    ParallelFor(0, x.numel() / group, 64, [&](int64_t begin, int64_t end) {
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
  m.impl("quantize_per_token", &QuantizePerTokenCpu);
  m.impl("layer_norm", &LayerNormCpu);
  m.impl("layer_norm_quantize", &LayerNormQuantizeCpu);
  m.impl("rms_norm", &RmsNormCpu);
  m.impl("rms_norm_quantize", &RmsNormQuantizeCpu);
  m.impl("rms_norm_rotary", &RmsNormRotaryCpu);
  m.impl("gelu", &GeluCpu);
  m.impl("gelu_quantize", &GeluQuantizeCpu);
  m.impl("hadamard_rotate", &HadamardRotateCpu);
}

}  // namespace
}  // namespace wanlite::ops
