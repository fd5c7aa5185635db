// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass qat: quantization-aware training. Chosen layers become fake_quant weights
// (wrapped_weights.h), the component trains on recorded inputs to give what a teacher gives, and
// the layers turn into their real format. A ModelPass: one component after the other, its training
// state in the pass's scratch.
#ifndef WANLITE_SRC_QUANT_QAT_H_
#define WANLITE_SRC_QUANT_QAT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class QatOptions;

absl::StatusOr<std::unique_ptr<Pass>> MakeQat(const QatOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QAT_H_
