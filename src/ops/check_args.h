// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Argument checks that the CPU and the CUDA operators share. Throws c10::Error.
#ifndef WANLITE_SRC_OPS_CHECK_ARGS_H_
#define WANLITE_SRC_OPS_CHECK_ARGS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

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

inline void CheckInt8LinearArgs(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& weight_scale,
                                const std::optional<at::Tensor>& bias, int64_t rotation_group) {
  const char* op = "int8_linear";
  CheckFloating(op, x);
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kChar,
              "wanlite::int8_linear: weight "
              "must be int8 [out, in], found ",
              weight.scalar_type(), " ", weight.sizes());
  TORCH_CHECK(x.size(-1) == weight.size(1), "wanlite::int8_linear: x has ", x.size(-1),
              " features, the weight ", weight.sizes(), " takes ", weight.size(1));
  TORCH_CHECK(weight_scale.scalar_type() == at::kFloat && weight_scale.numel() == weight.size(0),
              "wanlite::int8_linear: weight_scale must be float32 [", weight.size(0),
              ", 1], found ", weight_scale.scalar_type(), " ", weight_scale.sizes());
  TORCH_CHECK(weight.device() == x.device() && weight_scale.device() == x.device(),
              "wanlite::int8_linear: x is on ", x.device(), ", weight on ", weight.device(),
              ", weight_scale on ", weight_scale.device());
  if (bias.has_value()) {
    TORCH_CHECK(bias->dim() == 1 && bias->size(0) == weight.size(0) && bias->is_floating_point(),
                "wanlite::int8_linear: bias must be floating [", weight.size(0), "], found ",
                bias->scalar_type(), " ", bias->sizes());
    TORCH_CHECK(bias->device() == x.device(), "wanlite::int8_linear: x is on ", x.device(),
                ", bias on ", bias->device());
  }
  if (rotation_group != 0) CheckRotationGroup(op, rotation_group, x.size(-1));
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CHECK_ARGS_H_
