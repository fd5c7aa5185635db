// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Every operator of the library, and the typed calls of ops.h.

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "src/core/libtorch.h"
#include "src/ops/call_op.h"
#include "src/ops/ops.h"

TORCH_LIBRARY(wanlite, m) {
  // x [..., in], weight int8 [out, in], weight_scale fp32 [out, 1], bias [out] -> [..., out]
  m.def(
      "int8_linear(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias, int rotation_group) "
      "-> Tensor");
  // x [..., n] -> q int8 [..., n], scale fp32 [..., 1]
  m.def("quantize_per_token(Tensor x, int rotation_group=0) -> (Tensor q, Tensor scale)");
  // q int8 [..., in], scale fp32 [..., 1] -> [..., out]
  m.def(
      "int8_gemm(Tensor q, Tensor scale, Tensor weight, Tensor weight_scale, Tensor? bias, "
      "ScalarType dtype) -> Tensor");
  // weight int8 [out, in] -> uint8 [bytes]
  m.def("int8_pack(Tensor weight) -> Tensor");
  // packed: of int8_pack; else as int8_gemm
  m.def(
      "int8_gemm_packed(Tensor q, Tensor scale, Tensor packed, Tensor weight_scale, Tensor? bias, "
      "ScalarType dtype) -> Tensor");
  // x [..., n], weight and bias fp32 [n] to [..., n] -> [..., n]
  m.def("layer_norm(Tensor x, Tensor weight, Tensor bias, float eps, ScalarType dtype) -> Tensor");
  m.def(
      "layer_norm_quantize(Tensor x, Tensor weight, Tensor bias, float eps, ScalarType dtype, "
      "int rotation_group) -> (Tensor q, Tensor scale)");
  // x [..., n], weight fp32 [n] to [..., n] -> [..., n]
  m.def("rms_norm(Tensor x, Tensor weight, float eps, ScalarType dtype) -> Tensor");
  m.def(
      "rms_norm_quantize(Tensor x, Tensor weight, float eps, ScalarType dtype, int rotation_group) "
      "-> (Tensor q, Tensor scale)");
  // x [batch, tokens, n], weight fp32 [n], rotary complex64 [tokens, head_dim / 2]
  m.def("rms_norm_rotary(Tensor x, Tensor weight, Tensor rotary, float eps) -> Tensor");
  // q [batch, tokens, channels], k and v [batch, keys, channels], fp32 -> like q
  m.def("attention(Tensor q, Tensor k, Tensor v, int head_dim) -> Tensor");
  // x and gate [..., n] -> [..., n]
  m.def("gelu(Tensor x, Tensor? gate) -> Tensor");
  m.def("gelu_quantize(Tensor x, Tensor? gate, int rotation_group) -> (Tensor q, Tensor scale)");
  // x [..., n] -> [..., n]
  m.def("hadamard_rotate(Tensor x, int group) -> Tensor");
  // weight uint8 [out, in / 2], two codes a byte; weight_scale fp32 or bf16 [out, in / group]; zero
  // uint8 of weight_scale's shape
  m.def(
      "int4_linear(Tensor x, Tensor weight, Tensor weight_scale, Tensor? zero, Tensor? bias) -> "
      "Tensor");
  // -> fp32 [out, in]
  m.def("int4_dequantize(Tensor weight, Tensor weight_scale, Tensor? zero) -> Tensor");
  // q int8 [..., in], scale fp32 [..., 1] -> [..., out]
  m.def(
      "w4a8_gemm(Tensor q, Tensor scale, Tensor weight, Tensor weight_scale, Tensor? zero, Tensor? "
      "bias, ScalarType dtype) -> Tensor");
  // -> uint8 [bytes]
  m.def("w4a8_pack(Tensor weight, Tensor weight_scale, Tensor? zero) -> Tensor");
  // packed: of w4a8_pack; else as w4a8_gemm
  m.def(
      "w4a8_gemm_packed(Tensor q, Tensor scale, Tensor packed, int out_features, int group, "
      "Tensor? bias, ScalarType dtype) -> Tensor");
  // q uint8 [..., in / 2], scale fp32 [..., in / group] -> [..., out]
  m.def(
      "w4a4_gemm(Tensor q, Tensor scale, Tensor weight, Tensor weight_scale, Tensor? zero, Tensor? "
      "bias, ScalarType dtype) -> Tensor");
  // x [..., n] -> q uint8 [..., n / 2], scale fp32 [..., n / group]
  m.def("quantize_int4(Tensor x, int group) -> (Tensor q, Tensor scale)");
  // weight int8 [out, in], weight_scale fp32 [out, 1]
  m.def("int8_weight_linear(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias) -> Tensor");
  // scale fp32 [1] -> q int8 [..., n], its scale for each token fp32 [..., 1]
  m.def(
      "quantize_static(Tensor x, Tensor scale, int rotation_group=0) -> (Tensor q, Tensor scales)");
  // x [..., n] -> q float8_e4m3fn [..., n], scale fp32 [..., 1]
  m.def("quantize_fp8(Tensor x) -> (Tensor q, Tensor scale)");
  // weight float8_e4m3fn [out, in], weight_scale fp32 [out, 1]
  m.def("fp8_linear(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias) -> Tensor");
  m.def(
      "fp8_gemm(Tensor q, Tensor scale, Tensor weight, Tensor weight_scale, Tensor? bias, "
      "ScalarType dtype) -> Tensor");
  // weight uint8 [out, in / 2], weight_scale float8_e4m3fn [out, in / 16], weight_scale_2 fp32 [1]
  m.def(
      "nvfp4_linear(Tensor x, Tensor weight, Tensor weight_scale, Tensor weight_scale_2, Tensor? "
      "bias) -> Tensor");
  m.def("nvfp4_dequantize(Tensor weight, Tensor weight_scale, Tensor weight_scale_2) -> Tensor");
  // q uint8 [..., in / 2], scale fp32 [..., in / 16] -> [..., out]
  m.def(
      "nvfp4_gemm(Tensor q, Tensor scale, Tensor weight, Tensor weight_scale, Tensor "
      "weight_scale_2, Tensor? bias, ScalarType dtype) -> Tensor");
  // x [..., n] -> q uint8 [..., n / 2], scale fp32 [..., n / 16]
  m.def("quantize_nvfp4(Tensor x) -> (Tensor q, Tensor scale)");
  // values [out, in / m * n], places uint8 [out, bytes]
  m.def(
      "sparse_nm_linear(Tensor x, Tensor values, Tensor places, int n, int m, Tensor? bias) -> "
      "Tensor");
  m.def("sparse_nm_dequantize(Tensor values, Tensor places, int n, int m) -> Tensor");
}

namespace wanlite::ops {
namespace {

// Where there is no backward formula, the result on a tensor that requires a gradient would
// silently be a leaf, and training would go on with no signal.
void RefuseGradient(const char* op, const char* name, const at::Tensor& input) {
  TORCH_CHECK(!(at::GradMode::is_enabled() && input.requires_grad()), "wanlite::", op,
              " has no gradient, but its input ", name, " of shape ", input.sizes(),
              " requires one; run it under torch::NoGradGuard, or train on dense weights");
}

bool Wanted(const at::Tensor& input) { return at::GradMode::is_enabled() && input.requires_grad(); }

// Rows of the weight expanded at a time in the backward pass: 4 MiB in fp32.
constexpr int64_t kExpandedWeights = int64_t{1} << 20;

// dy W for the matrix W that the int8 weight stands for, in the rotated basis if it is rotated. dy:
// fp32 [tokens, out] -> fp32 [tokens, in].
at::Tensor TimesDequantized(const at::Tensor& dy, const at::Tensor& weight,
                            const at::Tensor& weight_scale) {
  const int64_t rows = weight.size(0);
  const int64_t columns = weight.size(1);
  at::Tensor dx = at::zeros({dy.size(0), columns}, dy.options());
  const int64_t chunk = std::max<int64_t>(1, kExpandedWeights / std::max<int64_t>(1, columns));
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t end = std::min(rows, begin + chunk);
    const at::Tensor matrix = weight.slice(0, begin, end)
                                  .to(at::kFloat)
                                  .mul_(weight_scale.reshape({rows, 1}).slice(0, begin, end));
    dx.addmm_(dy.slice(1, begin, end), matrix);
  }
  return dx;
}

// The gradient passes the rounding of the tokens as if it were not there (straight through).
class Int8LinearFunction : public torch::autograd::Function<Int8LinearFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& weight_scale,
                            const std::optional<at::Tensor>& bias, int64_t rotation_group) {
    at::AutoDispatchBelowAutograd below;
    context->save_for_backward({weight, weight_scale});
    context->saved_data["rotation_group"] = rotation_group;
    context->saved_data["dtype"] = x.scalar_type();
    if (bias.has_value()) context->saved_data["bias_dtype"] = bias->scalar_type();
    return Int8Linear(x, weight, weight_scale, bias, rotation_group);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    at::AutoDispatchBelowAutograd below;
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& weight = saved[0];
    const at::Tensor dy = gradients[0].to(at::kFloat).reshape({-1, weight.size(0)});
    at::Tensor dx, dbias;
    if (context->needs_input_grad(0)) {
      dx = TimesDequantized(dy, weight, saved[1]);
      const int64_t group = context->saved_data["rotation_group"].toInt();
      // The rotation is symmetric.
      if (group != 0) dx = HadamardRotate(dx, group);
      std::vector<int64_t> shape = gradients[0].sizes().vec();
      shape.back() = weight.size(1);
      dx = dx.reshape(shape).to(context->saved_data["dtype"].toScalarType());
    }
    const auto bias_dtype = context->saved_data.find("bias_dtype");
    if (bias_dtype != context->saved_data.end() && context->needs_input_grad(3)) {
      dbias = dy.sum(0).to(bias_dtype->second.toScalarType());
    }
    return {dx, {}, {}, dbias, {}};
  }
};

at::Tensor Int8LinearAutograd(const at::Tensor& x, const at::Tensor& weight,
                              const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                              int64_t rotation_group) {
  RefuseGradient("int8_linear", "weight_scale", weight_scale);
  if (Wanted(x) || (bias.has_value() && Wanted(*bias))) {
    return Int8LinearFunction::apply(x, weight, weight_scale, bias, rotation_group);
  }
  at::AutoDispatchBelowAutograd below;
  return Int8Linear(x, weight, weight_scale, bias, rotation_group);
}

std::tuple<at::Tensor, at::Tensor> QuantizePerTokenNoGrad(const at::Tensor& x,
                                                          int64_t rotation_group) {
  RefuseGradient("quantize_per_token", "x", x);
  at::AutoDispatchBelowAutograd below;
  return QuantizePerToken(x, rotation_group);
}

at::Tensor Int8GemmNoGrad(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                          const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                          at::ScalarType dtype) {
  RefuseGradient("int8_gemm", "scale", scale);
  RefuseGradient("int8_gemm", "weight_scale", weight_scale);
  if (bias.has_value()) RefuseGradient("int8_gemm", "bias", *bias);
  at::AutoDispatchBelowAutograd below;
  return Int8Gemm(q, scale, weight, weight_scale, bias, dtype);
}

at::Tensor LayerNormNoGrad(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps, at::ScalarType dtype) {
  RefuseGradient("layer_norm", "x", x);
  RefuseGradient("layer_norm", "weight", weight);
  RefuseGradient("layer_norm", "bias", bias);
  at::AutoDispatchBelowAutograd below;
  return LayerNorm(x, weight, bias, eps, dtype);
}

std::tuple<at::Tensor, at::Tensor> LayerNormQuantizeNoGrad(const at::Tensor& x,
                                                           const at::Tensor& weight,
                                                           const at::Tensor& bias, double eps,
                                                           at::ScalarType dtype,
                                                           int64_t rotation_group) {
  RefuseGradient("layer_norm_quantize", "x", x);
  RefuseGradient("layer_norm_quantize", "weight", weight);
  RefuseGradient("layer_norm_quantize", "bias", bias);
  at::AutoDispatchBelowAutograd below;
  return LayerNormQuantize(x, weight, bias, eps, dtype, rotation_group);
}

// The rotation is symmetric, so it is its own backward pass.
class HadamardRotateFunction : public torch::autograd::Function<HadamardRotateFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            int64_t group) {
    at::AutoDispatchBelowAutograd below;
    context->saved_data["group"] = group;
    return HadamardRotate(x, group);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    at::AutoDispatchBelowAutograd below;
    return {HadamardRotate(gradients[0], context->saved_data["group"].toInt()), {}};
  }
};

at::Tensor HadamardRotateAutograd(const at::Tensor& x, int64_t group) {
  if (Wanted(x)) return HadamardRotateFunction::apply(x, group);
  at::AutoDispatchBelowAutograd below;
  return HadamardRotate(x, group);
}

}  // namespace

at::Tensor Int8Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                      const std::optional<at::Tensor>& bias, int64_t rotation_group) {
  return CallOp<"wanlite::int8_linear", Int8Linear>(x, weight, weight_scale, bias, rotation_group);
}

std::tuple<at::Tensor, at::Tensor> QuantizePerToken(const at::Tensor& x, int64_t rotation_group) {
  return CallOp<"wanlite::quantize_per_token", QuantizePerToken>(x, rotation_group);
}

at::Tensor Int8Gemm(const at::Tensor& q, const at::Tensor& scale, const at::Tensor& weight,
                    const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                    at::ScalarType dtype) {
  return CallOp<"wanlite::int8_gemm", Int8Gemm>(q, scale, weight, weight_scale, bias, dtype);
}

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double eps, at::ScalarType dtype) {
  return CallOp<"wanlite::layer_norm", LayerNorm>(x, weight, bias, eps, dtype);
}

std::tuple<at::Tensor, at::Tensor> LayerNormQuantize(const at::Tensor& x, const at::Tensor& weight,
                                                     const at::Tensor& bias, double eps,
                                                     at::ScalarType dtype, int64_t rotation_group) {
  return CallOp<"wanlite::layer_norm_quantize", LayerNormQuantize>(x, weight, bias, eps, dtype,
                                                                   rotation_group);
}

at::Tensor HadamardRotate(const at::Tensor& x, int64_t group) {
  return CallOp<"wanlite::hadamard_rotate", HadamardRotate>(x, group);
}

TORCH_LIBRARY_IMPL(wanlite, Autograd, m) {
  m.impl("int8_linear", &Int8LinearAutograd);
  m.impl("quantize_per_token", &QuantizePerTokenNoGrad);
  m.impl("int8_gemm", &Int8GemmNoGrad);
  m.impl("layer_norm", &LayerNormNoGrad);
  m.impl("layer_norm_quantize", &LayerNormQuantizeNoGrad);
  m.impl("hadamard_rotate", &HadamardRotateAutograd);
}

}  // namespace wanlite::ops
