// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The weight formats "int8_static" and "int8_weight_only": the weights of "int8", with other
// inputs. Their tensors and attributes are those of "int8"; the first has one tensor more:
//   input_scale  fp32 [1], the step of all inputs, from recorded ones; in the rotated basis if
//   there
//                is one
// int8_static is W8A8 without a pass over each token for its scale; what lies beyond 127 steps is
// clamped. int8_weight_only expands the weights and multiplies in floating point.
#ifndef WANLITE_SRC_QUANT_WEIGHT_INT8_STATIC_H_
#define WANLITE_SRC_QUANT_WEIGHT_INT8_STATIC_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// Take over an int8 weight of MakeInt8Weight(), hollow ones too. input_scale: positive and finite,
// or InvalidArgument.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeInt8StaticWeight(
    std::unique_ptr<LinearWeight> int8, double input_scale);
std::unique_ptr<LinearWeight> MakeHollowInt8StaticWeight(std::unique_ptr<LinearWeight> int8);
std::unique_ptr<LinearWeight> MakeInt8WeightOnly(std::unique_ptr<LinearWeight> int8);

// LinearWeightFactories of the formats.
absl::StatusOr<std::unique_ptr<LinearWeight>> Int8StaticFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);
absl::StatusOr<std::unique_ptr<LinearWeight>> Int8WeightOnlyFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_WEIGHT_INT8_STATIC_H_
