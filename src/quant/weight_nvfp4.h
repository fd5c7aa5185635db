// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The weight format "nvfp4", as NVIDIA's ModelOpt lays it out. Its State():
//   weight          uint8 [out, in / 2], e2m1 codes, two a byte, the even feature in the low nibble
//   weight_scale    float8_e4m3fn [out, in / 16]
//   weight_scale_2  fp32 [1], max|W| / (6 * 448) when made here
// W = code * (weight_scale * weight_scale_2). Attributes: {"activations": "float"}, weight-only, or
// {"activations": "nvfp4"}: each token is quantized as a matrix of its own, as the layer runs.
#ifndef WANLITE_SRC_QUANT_WEIGHT_NVFP4_H_
#define WANLITE_SRC_QUANT_WEIGHT_NVFP4_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// Rounds a dense matrix to the nearest codes. Errors as of WeightQuantizer::Quantize().
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeNvfp4Weight(const at::Tensor& dense,
                                                              bool quantized_inputs,
                                                              QuantizationError* error = nullptr);

// The hollow weight that MakeNvfp4Weight() would leave for a matrix of this shape.
std::unique_ptr<LinearWeight> MakeHollowNvfp4Weight(int64_t out_features, int64_t in_features,
                                                    bool quantized_inputs);

// LinearWeightFactory of the format.
absl::StatusOr<std::unique_ptr<LinearWeight>> Nvfp4WeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

std::unique_ptr<WeightQuantizer> MakeNvfp4Quantizer(bool quantized_inputs);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_WEIGHT_NVFP4_H_
