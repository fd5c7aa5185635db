// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Dense matrices in another floating dtype, as a format.
#ifndef WANLITE_SRC_QUANT_CAST_QUANTIZER_H_
#define WANLITE_SRC_QUANT_CAST_QUANTIZER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/quant/weight_quantizer.h"

namespace wanlite {

class CastOptions;

// OptionError() without a dtype. Does not look at `linears`.
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeCastQuantizer(CastOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_CAST_QUANTIZER_H_
