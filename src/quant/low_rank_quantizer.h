// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// SVDQuant (arXiv 2411.05007) over any format: a layer becomes
//   low_rank(smoothed(format)),  y = Q (x / s) + B A x  with  Q + B A s ~ W s
// where s, one number for each input feature, moves outliers of inputs into the weights, B A is of
// low rank in bf16, and Q is what the format makes of the rest. The divisor of the inputs is a
// tensor of the weight: a norm with a modulation before the layer cannot take it over exactly.
#ifndef WANLITE_SRC_QUANT_LOW_RANK_QUANTIZER_H_
#define WANLITE_SRC_QUANT_LOW_RANK_QUANTIZER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/quant/weight_quantizer.h"

namespace wanlite {

class LowRankBranch;  // src/proto/quant.proto

// Fills in the defaults of `branch`; OptionError() of fields below "low_rank" for options that
// cannot be meant. `format` makes the codes.
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeLowRankQuantizer(
    std::unique_ptr<WeightQuantizer> format, LowRankBranch& branch);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_LOW_RANK_QUANTIZER_H_
