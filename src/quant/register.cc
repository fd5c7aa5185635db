// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/register.h"

#include "src/proto/quant.pb.h"
#include "src/quant/convert.h"
#include "src/quant/gptq_pass.h"
#include "src/quant/qat.h"
#include "src/quant/quantize_auto.h"
#include "src/quant/quantize_weights.h"
#include "src/quant/smooth.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status RegisterQuantPasses(PassRegistry& registry) {
  for (const absl::Status& status : {
           RegisterPass<CastOptions>(registry, MakeCast),
           RegisterPass<QuantizeFp8Options>(registry, MakeQuantizeFp8),
           RegisterPass<QuantizeInt8Options>(registry, MakeQuantizeInt8),
           RegisterPass<QuantizeInt4Options>(registry, MakeQuantizeInt4),
           RegisterPass<SmoothOptions>(registry, MakeSmooth),
           RegisterPass<GptqOptions>(registry, MakeGptq),
           RegisterPass<QuantizeAutoOptions>(registry, MakeQuantizeAuto),
           RegisterPass<QatOptions>(registry, MakeQat),
           RegisterPass<ConvertOptions>(registry, MakeConvert),
       }) {
    WANLITE_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace wanlite
