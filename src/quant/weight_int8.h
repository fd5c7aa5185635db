// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The weight format "int8": W8A8 with one scale per output channel. Its State() is what ComfyUI and
// stable-diffusion.cpp call int8_tensorwise with rows:
//   weight        int8 [out, in], W = weight * weight_scale, in [-127, 127] when made here
//   weight_scale  fp32 [out, 1]
// Attributes: {}, or {"rotation":"convrot","rotation_group":256} when groups of input features were
// rotated before quantizing (ConvRot, arXiv 2512.03673); Apply() then rotates its input the same
// way.
#ifndef WANLITE_SRC_QUANT_WEIGHT_INT8_H_
#define WANLITE_SRC_QUANT_WEIGHT_INT8_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/core/json_fields.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// Quantizes a dense matrix: scale = max|row| / 127, round half to even, clamp to +-127; a row of
// zeros has scale 0. dense: fp32, bf16 or fp16 [out, in] on the CPU; expanded to fp32 a few rows at
// a time. rotation_group: 0, or 4, 16, 64, 256 or 1024, dividing `in`. InvalidArgument for other
// groups and for weights that hold a NaN, an infinity or what int8 with a scale in fp32 cannot give
// back finite, naming the row.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeInt8Weight(const at::Tensor& dense,
                                                             int64_t rotation_group,
                                                             QuantizationError* error = nullptr);

// The hollow weight that MakeInt8Weight() would leave for a matrix of this shape.
std::unique_ptr<LinearWeight> MakeHollowInt8Weight(int64_t out_features, int64_t in_features,
                                                   int64_t rotation_group);

// LinearWeightFactory of the format.
absl::StatusOr<std::unique_ptr<LinearWeight>> Int8WeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

// How an int8 weight reads its input: ops::QuantizePerToken() with the group.
const InputForm& Int8TokenForm(int64_t rotation_group);

// OK for 0 and for a group of the operators that divides `in`.
absl::Status CheckRotationGroup(int64_t group, int64_t in_features);
// Unimplemented when the input features in `index`, int64 [n], split one of the groups.
absl::Status CheckKeepsGroups(const at::Tensor& index, int64_t group);

// The attributes of an int8 weight with the group.
std::string Int8Attributes(int64_t rotation_group);
// The group in {"rotation": "convrot", "rotation_group": 64}, 0 without these fields.
absl::StatusOr<int64_t> ParseRotation(const JsonFields& attributes);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_WEIGHT_INT8_H_
