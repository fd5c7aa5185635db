// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// NVFP4 on the CPU. Twice an e2m1 value is a small integer, so products of two are exact INT8 ones.

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
#include "src/ops/fp8_math.h"
#include "src/ops/ops.h"

namespace wanlite::ops {
namespace {

// Rows of codes and their scales, fp32, halved for values that are doubled.
class Nvfp4Rows {
 public:
  // e4m3 scales times scale_2 of a weight.
  Nvfp4Rows(const at::Tensor& codes, const at::Tensor& e4m3, const at::Tensor& scale_2)
      : Nvfp4Rows(codes) {
    e4m3_ = e4m3.contiguous();
    scale_2_ = scale_2.item<float>();
  }
  // fp32 scales of tokens.
  Nvfp4Rows(const at::Tensor& codes, const at::Tensor& scales) : Nvfp4Rows(codes) {
    scales_ = scales.contiguous();
  }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }

  void Read(int64_t row, int8_t* twice, float* half_scales) const {
    kernels_.unpack_e2m1(codes_.const_data_ptr<uint8_t>() + row * (k_ / 2), k_ / 2, twice);
    const int64_t groups = k_ / kNvfp4Group;
    if (scales_.defined()) {
      std::copy_n(scales_.const_data_ptr<float>() + row * groups, groups, half_scales);
    } else {
      kernels_.decode_e4m3(static_cast<const uint8_t*>(e4m3_.const_data_ptr()) + row * groups,
                           groups, scale_2_, half_scales);
    }
    for (int64_t g = 0; g < groups; ++g) half_scales[g] *= 0.5f;
  }

  void Expand(int64_t row, float* out) const {
    thread_local std::vector<int8_t> twice;
    thread_local std::vector<float> scales;
    if (static_cast<int64_t>(twice.size()) < k_) twice.resize(k_);
    if (static_cast<int64_t>(scales.size()) < k_ / kNvfp4Group) scales.resize(k_ / kNvfp4Group);
    Read(row, twice.data(), scales.data());
    kernels_.expand(twice.data(), k_, kNvfp4Group, scales.data(), out);
  }

 private:
  explicit Nvfp4Rows(const at::Tensor& codes)
      : kernels_(CodeKernelsFor(ActiveCpuIsa())),
        n_(codes.size(0)),
        k_(codes.size(1) * 2),
        codes_(codes.contiguous()) {}

  const CodeKernels& kernels_;
  const int64_t n_, k_;
  const at::Tensor codes_;
  at::Tensor e4m3_, scales_;
  float scale_2_ = 0;
};

at::Tensor Nvfp4DequantizeCpu(const at::Tensor& weight, const at::Tensor& weight_scale,
                              const at::Tensor& weight_scale_2) {
  CheckNvfp4Weight("nvfp4_dequantize", 2 * (weight.dim() == 2 ? weight.size(1) : 0),
                   weight.device(), weight, weight_scale, weight_scale_2, std::nullopt);
  const Nvfp4Rows rows(weight, weight_scale, weight_scale_2);
  return ExpandRows(rows.n(), rows.k(), [&](int64_t row, float* out) { rows.Expand(row, out); });
}

at::Tensor Nvfp4LinearCpu(const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& weight_scale, const at::Tensor& weight_scale_2,
                          const std::optional<at::Tensor>& bias) {
  CheckFloating("nvfp4_linear", x);
  CheckNvfp4Weight("nvfp4_linear", x.size(-1), x.device(), weight, weight_scale, weight_scale_2,
                   bias);
  const Nvfp4Rows rows(weight, weight_scale, weight_scale_2);
  return ExpandedProduct(
      x, rows.n(), [&](int64_t row, float* out) { rows.Expand(row, out); }, bias);
}

at::Tensor Nvfp4GemmCpu(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                        const at::Tensor& weight_scale, const at::Tensor& weight_scale_2,
                        const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  CheckTokens("nvfp4_gemm", q, at::kByte, scale, q.dim() == 0 ? 0 : 2 * q.size(-1) / kNvfp4Group);
  CheckNvfp4Weight("nvfp4_gemm", 2 * q.size(-1), q.device(), weight, weight_scale, weight_scale_2,
                   bias);
  CheckResultDtype("nvfp4_gemm", dtype);
  const Nvfp4Rows rows(weight, weight_scale, weight_scale_2);
  const int64_t k = rows.k();
  const Nvfp4Rows tokens(q.reshape({-1, k / 2}), scale.reshape({-1, k / kNvfp4Group}));
  std::vector<int64_t> shape = q.sizes().vec();
  shape.back() = k;
  return GroupProduct(
      shape, rows.n(), kNvfp4Group,
      [&](int64_t row, int8_t* values, float* scales) { tokens.Read(row, values, scales); },
      [&](int64_t row, int8_t* values, float* scales) { rows.Read(row, values, scales); },
      /*token_scales=*/nullptr, bias, dtype);
}

std::tuple<at::Tensor, at::Tensor> QuantizeNvfp4Cpu(const at::Tensor& x) {
  CheckNvfp4Features("quantize_nvfp4", x);
  const CodeKernels& kernels = CodeKernelsFor(ActiveCpuIsa());
  const int64_t n = x.size(-1), groups = n / kNvfp4Group;
  std::vector<int64_t> shape = x.sizes().vec(), scale_shape = shape;
  shape.back() = n / 2;
  scale_shape.back() = groups;
  const at::Tensor q = at::empty(shape, at::dtype(at::kByte));
  const at::Tensor scale = at::empty(scale_shape, at::dtype(at::kFloat));
  uint8_t* codes = q.mutable_data_ptr<uint8_t>();
  float* scales = scale.mutable_data_ptr<float>();
  ForEachRow(x, [&](int64_t row, const float* values) {
    thread_local std::vector<uint8_t> e4m3;
    if (static_cast<int64_t>(e4m3.size()) < groups) e4m3.resize(groups);
    const float scale_2 = Nvfp4Scale2(kernels.max_magnitude(values, n));
    kernels.quantize_nvfp4(values, n, scale_2, codes + row * n / 2, e4m3.data());
    kernels.decode_e4m3(e4m3.data(), groups, scale_2, scales + row * groups);
  });
  return {q, scale};
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) {
  m.impl("nvfp4_linear", &Nvfp4LinearCpu);
  m.impl("nvfp4_dequantize", &Nvfp4DequantizeCpu);
  m.impl("nvfp4_gemm", &Nvfp4GemmCpu);
  m.impl("quantize_nvfp4", &QuantizeNvfp4Cpu);
}

}  // namespace

Nvfp4Matrix QuantizeNvfp4Weight(const at::Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.is_cpu(),
              "wanlite::QuantizeNvfp4Weight: weight must be a CPU matrix, found ", weight.sizes());
  CheckNvfp4Features("QuantizeNvfp4Weight", weight);
  const CodeKernels& kernels = CodeKernelsFor(ActiveCpuIsa());
  const int64_t rows = weight.size(0), n = weight.size(1), groups = n / kNvfp4Group;
  Nvfp4Matrix matrix{at::empty({rows, n / 2}, at::dtype(at::kByte)),
                     at::empty({rows, groups}, at::dtype(at::kFloat8_e4m3fn)),
                     at::zeros({1}, at::dtype(at::kFloat))};
  uint8_t* codes = matrix.weight.mutable_data_ptr<uint8_t>();
  uint8_t* e4m3 = static_cast<uint8_t*>(matrix.weight_scale.mutable_data_ptr());
  std::vector<int32_t> row_max(rows);
  ForEachRow(weight, [&](int64_t row, const float* values) {
    row_max[row] = kernels.max_magnitude(values, n);
  });
  const int32_t largest = rows == 0 ? 0 : *std::max_element(row_max.begin(), row_max.end());
  const float scale_2 = Nvfp4Scale2(largest);
  matrix.weight_scale_2.fill_(scale_2);
  ForEachRow(weight, [&](int64_t row, const float* values) {
    kernels.quantize_nvfp4(values, n, scale_2, codes + row * n / 2, e4m3 + row * groups);
  });
  return matrix;
}

}  // namespace wanlite::ops
