// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The weight format "fp8": e4m3 with one scale per output channel. Its State():
//   weight        float8_e4m3fn [out, in], W = weight * weight_scale
//   weight_scale  fp32 [out, 1]
// Attributes: {"activations": "fp8"}, one scale per token, found as the layer runs, or
// {"activations": "float"}, weight-only.
#ifndef WANLITE_SRC_QUANT_WEIGHT_FP8_H_
#define WANLITE_SRC_QUANT_WEIGHT_FP8_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

class QuantizeFp8Options;

// Rounds a dense matrix: scale = max|row| / 448, codes as torch rounds row / scale. Errors as of
// WeightQuantizer::Quantize().
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFp8Weight(const at::Tensor& dense,
                                                            bool quantized_inputs,
                                                            QuantizationError* error = nullptr);

// The hollow weight that MakeFp8Weight() would leave for a matrix of this shape.
std::unique_ptr<LinearWeight> MakeHollowFp8Weight(int64_t out_features, int64_t in_features,
                                                  bool quantized_inputs);

// LinearWeightFactory of the format.
absl::StatusOr<std::unique_ptr<LinearWeight>> Fp8WeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

// The formats of QuantizeFp8Options: fills in the defaults; OptionError() for options that cannot
// be meant. Does not look at `linears`.
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeFp8Quantizer(QuantizeFp8Options& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_WEIGHT_FP8_H_
