// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Argument checks that the CPU and the CUDA operators share. Throws c10::Error.
#ifndef WANLITE_SRC_OPS_CHECK_ARGS_H_
#define WANLITE_SRC_OPS_CHECK_ARGS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "src/ops/int8_math.h"

namespace wanlite::ops {

inline void CheckFloating(const char* op, const at::Tensor& x) {
  TORCH_CHECK(x.dim() >= 1, "wanlite::", op, ": x must have at least one dimension");
  const at::ScalarType dtype = x.scalar_type();
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf, "wanlite::", op,
              ": x must be float32, bfloat16 or float16, found ", dtype);
  TORCH_CHECK(x.size(-1) <= kMaxInt8Features, "wanlite::", op, ": x has ", x.size(-1),
              " features, at most ", kMaxInt8Features, " are supported");
}

inline void CheckRotationGroup(const char* op, int64_t group, int64_t features) {
  TORCH_CHECK(IsRotationGroup(group), "wanlite::", op,
              ": the rotation group must be 4, 16, 64, 256 or 1024, found ", group);
  TORCH_CHECK(features % group == 0, "wanlite::", op, ": rotation group ", group,
              " does not divide the ", features, " features of x");
}

// The scales and the bias of a weight with `out` rows, on `device`.
inline void CheckScaleAndBias(const char* op, int64_t out, at::Device device,
                              const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(weight_scale.scalar_type() == at::kFloat && weight_scale.numel() == out,
              "wanlite::", op, ": weight_scale must be float32 [", out, ", 1], found ",
              weight_scale.scalar_type(), " ", weight_scale.sizes());
  TORCH_CHECK(weight_scale.device() == device, "wanlite::", op, ": x is on ", device,
              ", weight_scale on ", weight_scale.device());
  if (bias.has_value()) {
    TORCH_CHECK(bias->dim() == 1 && bias->size(0) == out && bias->is_floating_point(),
                "wanlite::", op, ": bias must be floating [", out, "], found ", bias->scalar_type(),
                " ", bias->sizes());
    TORCH_CHECK(bias->device() == device, "wanlite::", op, ": x is on ", device, ", bias on ",
                bias->device());
  }
}

// weight, its scales and the bias of a product with tokens of `features` features on `device`.
inline void CheckInt8Weight(const char* op, int64_t features, at::Device device,
                            const at::Tensor& weight, const at::Tensor& weight_scale,
                            const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kChar, "wanlite::", op,
              ": weight must be int8 [out, in], found ", weight.scalar_type(), " ", weight.sizes());
  TORCH_CHECK(features == weight.size(1), "wanlite::", op, ": x has ", features,
              " features, the weight ", weight.sizes(), " takes ", weight.size(1));
  TORCH_CHECK(weight.device() == device, "wanlite::", op, ": x is on ", device, ", weight on ",
              weight.device());
  CheckScaleAndBias(op, weight.size(0), device, weight_scale, bias);
}

inline void CheckInt8LinearArgs(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& weight_scale,
                                const std::optional<at::Tensor>& bias, int64_t rotation_group) {
  const char* op = "int8_linear";
  CheckFloating(op, x);
  CheckInt8Weight(op, x.size(-1), x.device(), weight, weight_scale, bias);
  if (rotation_group != 0) CheckRotationGroup(op, rotation_group, x.size(-1));
}

inline void CheckQuantizeArgs(const char* op, const at::Tensor& x, int64_t rotation_group) {
  CheckFloating(op, x);
  if (rotation_group != 0) CheckRotationGroup(op, rotation_group, x.size(-1));
}

inline void CheckResultDtype(const char* op, at::ScalarType dtype) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf, "wanlite::", op,
              ": the result must be float32, bfloat16 or float16, wanted ", dtype);
}

// Tokens that are quantized: codes and a scale each.
inline void CheckQuantizedTokens(const char* op, const at::Tensor& q, const at::Tensor& scale) {
  TORCH_CHECK(q.dim() >= 1 && q.scalar_type() == at::kChar, "wanlite::", op,
              ": q must be int8 [..., in], found ", q.scalar_type(), " ", q.sizes());
  TORCH_CHECK(q.size(-1) <= kMaxInt8Features, "wanlite::", op, ": q has ", q.size(-1),
              " features, at most ", kMaxInt8Features, " are supported");
  std::vector<int64_t> scale_shape = q.sizes().vec();
  scale_shape.back() = 1;
  TORCH_CHECK(scale.scalar_type() == at::kFloat && scale.sizes() == at::IntArrayRef(scale_shape),
              "wanlite::", op, ": scale must be float32 ", at::IntArrayRef(scale_shape), ", found ",
              scale.scalar_type(), " ", scale.sizes());
  TORCH_CHECK(scale.device() == q.device(), "wanlite::", op, ": q is on ", q.device(),
              ", scale on ", scale.device());
}

inline void CheckInt8GemmArgs(const at::Tensor& q, const at::Tensor& scale,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  const char* op = "int8_gemm";
  CheckQuantizedTokens(op, q, scale);
  CheckInt8Weight(op, q.size(-1), q.device(), weight, weight_scale, bias);
  CheckResultDtype(op, dtype);
}

// How many consecutive tokens of x one row of a norm's weight or bias serves.
inline int64_t TokensPerRow(const char* op, const char* name, const at::Tensor& x,
                            const at::Tensor& parameter) {
  int64_t tokens = 1;
  bool fits = parameter.scalar_type() == at::kFloat && parameter.dim() >= 1 &&
              parameter.dim() <= x.dim() && parameter.size(-1) == x.size(-1);
  bool repeated = true;
  for (int64_t i = 2; fits && i <= x.dim(); ++i) {
    const int64_t size = i <= parameter.dim() ? parameter.size(-i) : 1;
    // Ones must come last: a row serves tokens that lie together.
    repeated = repeated && size == 1;
    if (repeated) {
      tokens *= x.size(-i);
    } else {
      fits = size == x.size(-i);
    }
  }
  TORCH_CHECK(fits, "wanlite::", op, ": ", name, " must be float32 of x's shape ", x.sizes(),
              " or with ones in its last leading axes, found ", parameter.scalar_type(), " ",
              parameter.sizes());
  TORCH_CHECK(parameter.device() == x.device(), "wanlite::", op, ": x is on ", x.device(), ", ",
              name, " on ", parameter.device());
  return tokens;
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CHECK_ARGS_H_
