// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Norms and GELU with the quantizing of what they give. Sums of a row are taken in another order
// than on the CPU, so codes may differ by one where a value lies on a border; GELU gives the same
// bits.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
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

using Quantized = std::tuple<at::Tensor, at::Tensor>;

bool At16Bytes(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// x in rows, `args` without n and fours.
Quantized Quantize(const char* op, RowOp kind, const at::Tensor& x, RowQuantize args) {
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  at::Tensor q = at::empty(x.sizes(), x.options().dtype(at::kChar));
  at::Tensor scale = at::zeros(scale_shape, x.options().dtype(at::kFloat));
  if (x.numel() == 0) return {q, scale};
  args.n = x.size(-1);
  const int64_t most = MaxRowQuantizeFeatures(x.device().index());
  TORCH_CHECK(args.n <= most, "wanlite::", op, ": x has ", args.n, " features, at most ", most,
              " fit into this GPU's shared memory");
  args.fours = args.n % 4 == 0 && At16Bytes(x.const_data_ptr()) &&
               (args.gate == nullptr || At16Bytes(args.gate));
  C10_CUDA_CHECK(LaunchRowQuantize(kind, x.const_data_ptr(), TypeOf(x), x.numel() / args.n, args,
                                   q.mutable_data_ptr<int8_t>(), scale.mutable_data_ptr<float>(),
                                   c10::cuda::getCurrentCUDAStream()));
  return {q, scale};
}

at::Tensor LayerNormCuda(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         double eps, at::ScalarType dtype) {
  CheckFloating("layer_norm", x);
  CheckResultDtype("layer_norm", dtype);
  TokensPerRow("layer_norm", "weight", x, weight);
  TokensPerRow("layer_norm", "bias", x, bias);
  return (at::layer_norm(x.to(at::kFloat), {x.size(-1)}, {}, {}, eps) * weight + bias).to(dtype);
}

Quantized LayerNormQuantizeCuda(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& bias, double eps, at::ScalarType dtype,
                                int64_t rotation_group) {
  const char* op = "layer_norm_quantize";
  CheckQuantizeArgs(op, x, rotation_group);
  CheckResultDtype(op, dtype);
  const c10::cuda::CUDAGuard guard(x.device());
  RowQuantize args;
  args.weight_tokens = TokensPerRow(op, "weight", x, weight);
  args.bias_tokens = TokensPerRow(op, "bias", x, bias);
  const at::Tensor rows = x.contiguous(), weights = weight.contiguous(), biases = bias.contiguous();
  args.weight = weights.const_data_ptr<float>();
  args.bias = biases.const_data_ptr<float>();
  args.eps = static_cast<float>(eps);
  args.rotation_group = static_cast<int32_t>(rotation_group);
  args.type = TypeOf(dtype);
  return Quantize(op, RowOp::kLayerNorm, rows, args);
}

at::Tensor RmsNormCuda(const at::Tensor& x, const at::Tensor& weight, double eps,
                       at::ScalarType dtype) {
  CheckFloating("rms_norm", x);
  CheckResultDtype("rms_norm", dtype);
  TokensPerRow("rms_norm", "weight", x, weight);
  const at::Tensor wide = x.to(at::kFloat);
  return (wide * (wide.square().mean(-1, /*keepdim=*/true) + eps).rsqrt() * weight).to(dtype);
}

Quantized RmsNormQuantizeCuda(const at::Tensor& x, const at::Tensor& weight, double eps,
                              at::ScalarType dtype, int64_t rotation_group) {
  const char* op = "rms_norm_quantize";
  CheckQuantizeArgs(op, x, rotation_group);
  CheckResultDtype(op, dtype);
  const c10::cuda::CUDAGuard guard(x.device());
  RowQuantize args;
  args.weight_tokens = TokensPerRow(op, "weight", x, weight);
  const at::Tensor rows = x.contiguous(), weights = weight.contiguous();
  args.weight = weights.const_data_ptr<float>();
  args.eps = static_cast<float>(eps);
  args.rotation_group = static_cast<int32_t>(rotation_group);
  args.type = TypeOf(dtype);
  return Quantize(op, RowOp::kRmsNorm, rows, args);
}

void CheckGate(const char* op, const at::Tensor& x, const std::optional<at::Tensor>& gate) {
  if (!gate.has_value()) return;
  TORCH_CHECK(gate->sizes() == x.sizes() && gate->scalar_type() == x.scalar_type() &&
                  gate->device() == x.device(),
              "wanlite::", op, ": gate must be like x, ", x.scalar_type(), " ", x.sizes(),
              ", found ", gate->scalar_type(), " ", gate->sizes());
}

at::Tensor GeluCuda(const at::Tensor& x, const std::optional<at::Tensor>& gate) {
  CheckFloating("gelu", x);
  CheckGate("gelu", x, gate);
  const at::Tensor y = at::gelu(x, "tanh");
  return gate.has_value() ? y * *gate : y;
}

Quantized GeluQuantizeCuda(const at::Tensor& x, const std::optional<at::Tensor>& gate,
                           int64_t rotation_group) {
  const char* op = "gelu_quantize";
  CheckQuantizeArgs(op, x, rotation_group);
  CheckGate(op, x, gate);
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor rows = x.contiguous();
  const at::Tensor gates = gate.has_value() ? gate->contiguous() : at::Tensor();
  RowQuantize args;
  args.gate = gates.defined() ? gates.const_data_ptr() : nullptr;
  args.rotation_group = static_cast<int32_t>(rotation_group);
  args.type = TypeOf(x);
  return Quantize(op, RowOp::kGelu, rows, args);
}

TORCH_LIBRARY_IMPL(wanlite, CUDA, m) {
  m.impl("layer_norm", &LayerNormCuda);
  m.impl("layer_norm_quantize", &LayerNormQuantizeCuda);
  m.impl("rms_norm", &RmsNormCuda);
  m.impl("rms_norm_quantize", &RmsNormQuantizeCuda);
  m.impl("gelu", &GeluCuda);
  m.impl("gelu_quantize", &GeluQuantizeCuda);
}

}  // namespace
}  // namespace wanlite::ops::cuda
