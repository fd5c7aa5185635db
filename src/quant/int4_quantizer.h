// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The formats of QuantizeInt4Options.
#ifndef WANLITE_SRC_QUANT_INT4_QUANTIZER_H_
#define WANLITE_SRC_QUANT_INT4_QUANTIZER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/quant/weight_quantizer.h"

namespace wanlite {

class QuantizeInt4Options;

// Fills in the defaults; OptionError() for options that cannot be meant. Does not look at
// `linears`.
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeInt4Quantizer(QuantizeInt4Options& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_INT4_QUANTIZER_H_
