// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_QUANT_QUANTIZE_AUTO_H_
#define WANLITE_SRC_QUANT_QUANTIZE_AUTO_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class QuantizeAutoOptions;

absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeAuto(const QuantizeAutoOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZE_AUTO_H_
