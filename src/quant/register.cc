// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/register.h"

#include "src/proto/quant.pb.h"
#include "src/quant/gptq_pass.h"
#include "src/quant/quantize_weights.h"
#include "src/quant/smooth.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status RegisterQuantPasses(PassRegistry& registry) {
  for (const absl::Status& status : {
           RegisterPass<QuantizeInt8Options>(registry, MakeQuantizeInt8),
           RegisterPass<QuantizeInt4Options>(registry, MakeQuantizeInt4),
           RegisterPass<SmoothOptions>(registry, MakeSmooth),
           RegisterPass<GptqOptions>(registry, MakeGptq),
       }) {
    WANLITE_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace wanlite
