// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Argument checks of the operators whose codes share a scale by groups. Throws c10::Error.
#ifndef WANLITE_SRC_OPS_CHECK_GROUP_ARGS_H_
#define WANLITE_SRC_OPS_CHECK_GROUP_ARGS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "src/ops/check_args.h"
#include "src/ops/fp8_math.h"

namespace wanlite::ops {

inline void CheckBias(const char* op, int64_t out_features, at::Device device,
                      const std::optional<at::Tensor>& bias) {
  if (!bias.has_value()) return;
  TORCH_CHECK(bias->dim() == 1 && bias->size(0) == out_features && bias->is_floating_point() &&
                  bias->device() == device,
              "wanlite::", op, ": bias must be floating [", out_features, "] on ", device,
              ", found ", bias->scalar_type(), " ", bias->sizes(), " on ", bias->device());
}

// An INT4 weight with its scales and the bias of a product with tokens of `features` features.
inline void CheckInt4Weight(const char* op, int64_t features, at::Device device,
                            const at::Tensor& weight, const at::Tensor& weight_scale,
                            const std::optional<at::Tensor>& zero,
                            const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kByte, "wanlite::", op,
              ": weight must be uint8 [out, in / 2], found ", weight.scalar_type(), " ",
              weight.sizes());
  const int64_t in = 2 * weight.size(1);
  TORCH_CHECK(features == in, "wanlite::", op, ": x has ", features, " features, the weight ",
              weight.sizes(), " takes ", in);
  TORCH_CHECK(
      weight_scale.dim() == 2 && weight_scale.size(0) == weight.size(0) &&
          weight_scale.size(1) >= 1 && in % (2 * weight_scale.size(1)) == 0 &&
          (weight_scale.scalar_type() == at::kFloat || weight_scale.scalar_type() == at::kBFloat16),
      "wanlite::", op, ": weight_scale must be float32 or bfloat16 [", weight.size(0),
      ", in / group] for an even group that divides in = ", in, ", found ",
      weight_scale.scalar_type(), " ", weight_scale.sizes());
  TORCH_CHECK(weight.device() == device && weight_scale.device() == device, "wanlite::", op,
              ": x is on ", device, ", weight on ", weight.device(), ", weight_scale on ",
              weight_scale.device());
  if (zero.has_value()) {
    TORCH_CHECK(zero->scalar_type() == at::kByte && zero->sizes() == weight_scale.sizes() &&
                    zero->device() == device,
                "wanlite::", op, ": zero must be uint8 ", weight_scale.sizes(), " on ", device,
                ", found ", zero->scalar_type(), " ", zero->sizes(), " on ", zero->device());
  }
  CheckBias(op, weight.size(0), device, bias);
}

inline void CheckInt4LinearArgs(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& weight_scale,
                                const std::optional<at::Tensor>& zero,
                                const std::optional<at::Tensor>& bias) {
  CheckFloating("int4_linear", x);
  CheckInt4Weight("int4_linear", x.size(-1), x.device(), weight, weight_scale, zero, bias);
}

inline void CheckQuantizeInt4Args(const at::Tensor& x, int64_t group) {
  CheckFloating("quantize_int4", x);
  TORCH_CHECK(group >= 2 && group % 2 == 0 && x.size(-1) % group == 0,
              "wanlite::quantize_int4: the group must be even and divide the ", x.size(-1),
              " features of x, found ", group);
}

// Tokens quantized in `groups` groups each.
inline void CheckTokens(const char* op, const at::Tensor& q, at::ScalarType dtype,
                        const at::Tensor& scale, int64_t groups) {
  TORCH_CHECK(q.dim() >= 1 && q.scalar_type() == dtype, "wanlite::", op, ": q must be ", dtype,
              ", found ", q.scalar_type(), " ", q.sizes());
  std::vector<int64_t> scale_shape = q.sizes().vec();
  scale_shape.back() = groups;
  TORCH_CHECK(scale.scalar_type() == at::kFloat && scale.sizes() == at::IntArrayRef(scale_shape) &&
                  scale.device() == q.device(),
              "wanlite::", op, ": scale must be float32 ", at::IntArrayRef(scale_shape), " on ",
              q.device(), ", found ", scale.scalar_type(), " ", scale.sizes(), " on ",
              scale.device());
}

inline void CheckW4A8GemmArgs(const at::Tensor& q, const at::Tensor& scale,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& zero,
                              const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  const char* op = "w4a8_gemm";
  CheckTokens(op, q, at::kChar, scale, 1);
  CheckInt4Weight(op, q.size(-1), q.device(), weight, weight_scale, zero, bias);
  CheckResultDtype(op, dtype);
}

inline void CheckW4A4GemmArgs(const at::Tensor& q, const at::Tensor& scale,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& zero,
                              const std::optional<at::Tensor>& bias, at::ScalarType dtype) {
  const char* op = "w4a4_gemm";
  TORCH_CHECK(q.dim() >= 1, "wanlite::", op, ": q must have at least one dimension");
  CheckInt4Weight(op, 2 * q.size(-1), q.device(), weight, weight_scale, zero, bias);
  CheckTokens(op, q, at::kByte, scale, weight_scale.size(1));
  CheckResultDtype(op, dtype);
}

// Codes [out, in] of a dtype with an fp32 scale for each row.
inline void CheckRowScaledWeight(const char* op, at::ScalarType dtype, int64_t features,
                                 at::Device device, const at::Tensor& weight,
                                 const at::Tensor& weight_scale,
                                 const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == dtype && weight.size(1) == features &&
                  weight.device() == device,
              "wanlite::", op, ": weight must be ", dtype, " [out, ", features, "] on ", device,
              ", found ", weight.scalar_type(), " ", weight.sizes(), " on ", weight.device());
  TORCH_CHECK(weight_scale.scalar_type() == at::kFloat && weight_scale.numel() == weight.size(0) &&
                  weight_scale.device() == device,
              "wanlite::", op, ": weight_scale must be float32 [", weight.size(0), ", 1] on ",
              device, ", found ", weight_scale.scalar_type(), " ", weight_scale.sizes(), " on ",
              weight_scale.device());
  CheckBias(op, weight.size(0), device, bias);
}

inline void CheckNvfp4Features(const char* op, const at::Tensor& x) {
  CheckFloating(op, x);
  TORCH_CHECK(x.size(-1) % kNvfp4Group == 0, "wanlite::", op,
              ": the features must be a multiple of ", kNvfp4Group, ", found ", x.size(-1));
}

inline void CheckNvfp4Weight(const char* op, int64_t features, at::Device device,
                             const at::Tensor& weight, const at::Tensor& weight_scale,
                             const at::Tensor& weight_scale_2,
                             const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kByte &&
                  2 * weight.size(1) == features && features % kNvfp4Group == 0 &&
                  weight.device() == device,
              "wanlite::", op, ": weight must be uint8 [out, ", features,
              " / 2], of a multiple of ", kNvfp4Group, " features, on ", device, ", found ",
              weight.scalar_type(), " ", weight.sizes(), " on ", weight.device());
  TORCH_CHECK(weight_scale.scalar_type() == at::kFloat8_e4m3fn && weight_scale.dim() == 2 &&
                  weight_scale.size(0) == weight.size(0) &&
                  weight_scale.size(1) == features / kNvfp4Group && weight_scale.device() == device,
              "wanlite::", op, ": weight_scale must be float8_e4m3fn [", weight.size(0), ", ",
              features / kNvfp4Group, "] on ", device, ", found ", weight_scale.scalar_type(), " ",
              weight_scale.sizes(), " on ", weight_scale.device());
  TORCH_CHECK(weight_scale_2.scalar_type() == at::kFloat && weight_scale_2.numel() == 1 &&
                  weight_scale_2.device() == device,
              "wanlite::", op, ": weight_scale_2 must be float32 [1] on ", device, ", found ",
              weight_scale_2.scalar_type(), " ", weight_scale_2.sizes(), " on ",
              weight_scale_2.device());
  CheckBias(op, weight.size(0), device, bias);
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CHECK_GROUP_ARGS_H_
