// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The weight format "int4": four bits with a scale, and perhaps a zero point, for each group of
// input features of an output channel. Its State():
//   weight        uint8 [out, in / 2], codes 0 ... 15, two a byte, the even feature in the low
//                 nibble
//   weight_scale  bf16 [out, in / group]: 16 bits make 4.25 of 4 in groups of 64, and rounding the
//                 scale costs a 250th of what rounding the weights to its steps does
//   weight_zero   uint8 of weight_scale's shape, or absent: codes 1 ... 15 around 8
// W = (code - zero) * weight_scale. Attributes: {"activations": A} with A one of
//   "float"  weight-only: W is expanded, the product is one of floating point
//   "int8"   W4A8: inputs are quantized as those of the format "int8"
//   "int4"   W4A4: inputs are quantized as symmetric weights are, with scales in fp32
#ifndef WANLITE_SRC_QUANT_WEIGHT_INT4_H_
#define WANLITE_SRC_QUANT_WEIGHT_INT4_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

struct Int4Options {
  enum class Inputs { kFloat, kInt8, kInt4 };
  int64_t group = 64;  // even
  bool zero_point = false;
  Inputs inputs = Inputs::kFloat;
};

// InvalidArgument when the group does not divide `in_features`, or a sum could overflow.
absl::Status CheckInt4Shape(int64_t in_features, const Int4Options& options);

// Rounds a dense matrix to the nearest codes. dense: fp32, bf16 or fp16 [out, in] on the CPU;
// expanded to fp32 some rows at a time. InvalidArgument as of WeightQuantizer::Quantize().
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeInt4Weight(const at::Tensor& dense,
                                                             const Int4Options& options,
                                                             QuantizationError* error = nullptr);

// The hollow weight that MakeInt4Weight() would leave for a matrix of this shape.
std::unique_ptr<LinearWeight> MakeHollowInt4Weight(int64_t out_features, int64_t in_features,
                                                   const Int4Options& options);

// LinearWeightFactory of the format.
absl::StatusOr<std::unique_ptr<LinearWeight>> Int4WeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

std::string Int4Attributes(Int4Options::Inputs inputs);

// Two codes a byte of codes 0 ... 15, one a byte: uint8 [out, in] -> [out, in / 2].
at::Tensor PackNibbles(const at::Tensor& codes);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_WEIGHT_INT4_H_
