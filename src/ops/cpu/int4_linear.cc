// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Group-wise INT4 on the CPU.

#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/check_group_args.h"
#include "src/ops/cpu/code_kernels.h"
#include "src/ops/cpu/expanded_product.h"
#include "src/ops/cpu/group_gemm.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/int4_math.h"
#include "src/ops/ops.h"

namespace wanlite::ops {
namespace {

// The rows of a weight.
class Int4Rows {
 public:
  Int4Rows(const at::Tensor& weight, const at::Tensor& scale, const std::optional<at::Tensor>& zero)
      : kernels_(CodeKernelsFor(ActiveCpuIsa())),
        n_(weight.size(0)),
        k_(weight.size(1) * 2),
        groups_(scale.size(1)),
        group_(groups_ == 0 ? 2 : k_ / groups_),
        weight_(weight.contiguous()),
        scale_(scale.contiguous()) {
    if (zero.has_value()) zero_ = zero->contiguous();
    codes_ = weight_.const_data_ptr<uint8_t>();
    zeros_ = zero_.defined() ? zero_.const_data_ptr<uint8_t>() : nullptr;
  }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t groups() const { return groups_; }
  int64_t group() const { return group_; }

  // codes - zero, int8 [k], and fp32 [groups].
  void Read(int64_t row, int8_t* values, float* scales) const {
    uint8_t* codes = reinterpret_cast<uint8_t*>(values);
    kernels_.unpack4(codes_ + row * (k_ / 2), k_ / 2, codes);
    if (zeros_ == nullptr) {
      kernels_.subtract(codes, k_, kInt4Symmetric, values);
    } else {
      for (int64_t g = 0; g < groups_; ++g) {
        kernels_.subtract(codes + g * group_, group_, zeros_[row * groups_ + g],
                          values + g * group_);
      }
    }
    DispatchFloating(scale_.scalar_type(), [&](auto tag) {
      ReadRow(scale_.const_data_ptr<decltype(tag)>() + row * groups_, groups_, scales);
    });
  }

  void Expand(int64_t row, float* out) const {
    thread_local std::vector<int8_t> values;
    thread_local std::vector<float> scales;
    if (static_cast<int64_t>(values.size()) < k_) values.resize(k_);
    if (static_cast<int64_t>(scales.size()) < groups_) scales.resize(groups_);
    Read(row, values.data(), scales.data());
    kernels_.expand(values.data(), k_, group_, scales.data(), out);
  }

 private:
  const CodeKernels& kernels_;
  const int64_t n_, k_, groups_, group_;
  const at::Tensor weight_, scale_;
  at::Tensor zero_;
  const uint8_t* codes_;
  const uint8_t* zeros_;  // null: symmetric
};

at::Tensor Int4LinearCpu(const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                         const std::optional<at::Tensor>& bias) {
  CheckInt4LinearArgs(x, weight, weight_scale, zero, bias);
  const Int4Rows rows(weight, weight_scale, zero);
  return ExpandedProduct(
      x, rows.n(), [&](int64_t row, float* out) { rows.Expand(row, out); }, bias);
}

at::Tensor Int4DequantizeCpu(const at::Tensor& weight, const at::Tensor& weight_scale,
                             const std::optional<at::Tensor>& zero) {
  CheckInt4Weight("int4_dequantize", 2 * (weight.dim() == 2 ? weight.size(1) : 0), weight.device(),
                  weight, weight_scale, zero, std::nullopt);
  const Int4Rows rows(weight, weight_scale, zero);
  return ExpandRows(rows.n(), rows.k(), [&](int64_t row, float* out) { rows.Expand(row, out); });
}

at::Tensor W4A8GemmCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                       const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  CheckW4A8GemmArgs(q, scale, weight, weight_scale, zero, bias, dtype);
  const int64_t group = q.size(-1) / weight_scale.size(1);
  if (W4A8Packs(q.size(-1), group)) {
    return W4A8GemmPacked(q, scale, W4A8Pack(weight, weight_scale, zero), weight.size(0), group,
                          bias, dtype);
  }
  const Int4Rows rows(weight, weight_scale, zero);
  const int64_t k = rows.k();
  const at::Tensor tokens = q.contiguous();
  const at::Tensor scales = scale.contiguous();
  const int8_t* token_data = tokens.const_data_ptr<int8_t>();
  return GroupProduct(
      q.sizes(), rows.n(), group,
      [&](int64_t row, int8_t* values, float* group_scales) {
        std::copy_n(token_data + row * k, k, values);
        std::fill_n(group_scales, rows.groups(), 1.0f);
      },
      [&](int64_t row, int8_t* values, float* group_scales) {
        rows.Read(row, values, group_scales);
      },
      scales.const_data_ptr<float>(), bias, dtype);
}

at::Tensor W4A4GemmCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const std::optional<at::Tensor>& zero,
                       const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  CheckW4A4GemmArgs(q, scale, weight, weight_scale, zero, bias, dtype);
  const Int4Rows rows(weight, weight_scale, zero);
  const int64_t k = rows.k();
  const Int4Rows tokens(q.reshape({-1, k / 2}), scale.reshape({-1, rows.groups()}), std::nullopt);
  std::vector<int64_t> shape = q.sizes().vec();
  shape.back() = k;
  return GroupProduct(
      shape, rows.n(), rows.group(),
      [&](int64_t row, int8_t* values, float* group_scales) {
        tokens.Read(row, values, group_scales);
      },
      [&](int64_t row, int8_t* values, float* group_scales) {
        rows.Read(row, values, group_scales);
      },
      /*token_scales=*/nullptr, bias, dtype);
}

// Codes of one group, and its scale in `scale` and `zero`.
void QuantizeGroup(const CodeKernels& kernels, const float* x, int64_t n, bool zero_point,
                   bool bf16_scale, uint8_t* packed, float* scale, uint8_t* zero) {
  const int32_t max_bits = kernels.max_magnitude(x, n);
  int32_t low = -kInt4Limit, high = kInt4Limit, code_of_zero = kInt4Symmetric;
  *scale = Int4Scale(max_bits);
  if (zero_point) {
    float largest, smallest;
    kernels.extremes(x, n, &largest, &smallest);
    if (max_bits < kInfinityBits) *scale = Int4ZeroPointScale(largest, smallest);
    if (bf16_scale) *scale = NearestBf16(*scale);
    code_of_zero =
        RoundQuotient(-smallest, Int8Divisor(*scale), 0.0f, static_cast<float>(kInt4Codes));
    *zero = static_cast<uint8_t>(code_of_zero);
    low = -code_of_zero;
    high = kInt4Codes - code_of_zero;
  } else if (bf16_scale) {
    *scale = NearestBf16(*scale);
  }
  kernels.pack4(x, n, Int8Divisor(*scale), low, high, code_of_zero, packed);
}

// packed: uint8 [rows, n / 2]; scale: fp32 or bf16 [rows, groups]; zero: uint8, or undefined.
void QuantizeRows(const at::Tensor& x, int64_t group, bool zero_point, const at::Tensor& packed,
                  const at::Tensor& scale, const at::Tensor& zero) {
  const CodeKernels& kernels = CodeKernelsFor(ActiveCpuIsa());
  const int64_t n = x.size(-1);
  const int64_t groups = n / group;
  const bool bf16_scale = scale.scalar_type() == at::kBFloat16;
  uint8_t* packed_data = packed.mutable_data_ptr<uint8_t>();
  uint8_t* zero_data = zero_point ? zero.mutable_data_ptr<uint8_t>() : nullptr;
  DispatchFloating(scale.scalar_type(), [&](auto scale_tag) {
    auto* scale_data = scale.mutable_data_ptr<decltype(scale_tag)>();
    ForEachRow(x, [&](int64_t row, const float* values) {
      thread_local std::vector<float> scales;
      if (static_cast<int64_t>(scales.size()) < groups) scales.resize(groups);
      for (int64_t g = 0; g < groups; ++g) {
        QuantizeGroup(kernels, values + g * group, group, zero_point, bf16_scale,
                      packed_data + (row * n + g * group) / 2, &scales[g],
                      zero_point ? zero_data + row * groups + g : nullptr);
      }
      WriteRow(scales.data(), groups, scale_data + row * groups);
    });
  });
}

std::tuple<at::Tensor, at::Tensor> QuantizeInt4Cpu(const at::Tensor& x, int64_t group) {
  CheckQuantizeInt4Args(x, group);
  std::vector<int64_t> shape = x.sizes().vec(), scale_shape = shape;
  shape.back() /= 2;
  scale_shape.back() /= group;
  const at::Tensor packed = at::empty(shape, at::dtype(at::kByte));
  const at::Tensor scale = at::empty(scale_shape, at::dtype(at::kFloat));
  QuantizeRows(x, group, /*zero_point=*/false, packed, scale, {});
  return {packed, scale};
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("int4_linear", &Int4LinearCpu);
  m.impl("int4_dequantize", &Int4DequantizeCpu);
  m.impl("w4a8_gemm", &W4A8GemmCpu);
  m.impl("w4a4_gemm", &W4A4GemmCpu);
  m.impl("quantize_int4", &QuantizeInt4Cpu);
}

}  // namespace

Int4Matrix QuantizeInt4Weight(const at::Tensor& weight, int64_t group, bool zero_point) {
  TORCH_CHECK(weight.dim() == 2 && weight.is_cpu(),
              "wanlite::QuantizeInt4Weight: weight must be a CPU matrix, found ", weight.sizes());
  CheckQuantizeInt4Args(weight, group);
  const int64_t rows = weight.size(0), n = weight.size(1);
  Int4Matrix matrix{at::empty({rows, n / 2}, at::dtype(at::kByte)),
                    at::empty({rows, n / group}, at::dtype(at::kBFloat16)),
                    {}};
  if (zero_point) matrix.zero = at::empty({rows, n / group}, at::dtype(at::kByte));
  QuantizeRows(weight, group, zero_point, matrix.weight, matrix.weight_scale, matrix.zero);
  return matrix;
}

}  // namespace wanlite::ops
