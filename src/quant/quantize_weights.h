// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The passes that round each layer to a format by itself: quantize-int8 and its like. Block after
// block, weights from dense ones.
#ifndef WANLITE_SRC_QUANT_QUANTIZE_WEIGHTS_H_
#define WANLITE_SRC_QUANT_QUANTIZE_WEIGHTS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class CastOptions;
class QuantizeFp8Options;
class QuantizeInt4Options;
class QuantizeInt8Options;

absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt8(const QuantizeInt8Options& options);
absl::StatusOr<std::unique_ptr<Pass>> MakeCast(const CastOptions& options);
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeFp8(const QuantizeFp8Options& options);
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt4(const QuantizeInt4Options& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZE_WEIGHTS_H_
