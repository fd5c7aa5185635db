// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass quantize-int8: dense linears become "int8" weights, block after block. No calibration:
// weights are quantized per output channel, activations at run time per token.
#ifndef WANLITE_SRC_QUANT_QUANTIZE_INT8_H_
#define WANLITE_SRC_QUANT_QUANTIZE_INT8_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class QuantizeInt8Options;

// InvalidArgument for a rotation_group that is no power of 4 between 4 and 1024, or is given
// without CONVROT. Lineage metrics: quantized_layers, quantized_weights, mean_relative_error (of
// the weights, Frobenius norm, mean over layers).
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt8(const QuantizeInt8Options& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZE_INT8_H_
