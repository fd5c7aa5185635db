// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/register.h"

#include "src/proto/quant.pb.h"
#include "src/quant/quantize_weights.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status RegisterQuantPasses(PassRegistry& registry) {
  WANLITE_RETURN_IF_ERROR(RegisterPass<QuantizeInt8Options>(registry, MakeQuantizeInt8));
  return RegisterPass<QuantizeInt4Options>(registry, MakeQuantizeInt4);
}

}  // namespace wanlite
