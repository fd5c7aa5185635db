// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass gptq: block after block, layers are rounded to a format by the second moments of what
// the compressed layers before them make of recorded samples.
#ifndef WANLITE_SRC_QUANT_GPTQ_PASS_H_
#define WANLITE_SRC_QUANT_GPTQ_PASS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class GptqOptions;

absl::StatusOr<std::unique_ptr<Pass>> MakeGptq(const GptqOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_GPTQ_PASS_H_
