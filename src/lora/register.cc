// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/lora/register.h"

#include "src/lora/add_lora.h"
#include "src/lora/load_lora.h"
#include "src/lora/merge_lora.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status RegisterLoraPasses(PassRegistry& registry) {
  for (const absl::Status& status : {
           RegisterPass<LoadLoraOptions>(registry, MakeLoadLora),
           RegisterPass<AddLoraOptions>(registry, MakeAddLora),
           RegisterPass<MergeLoraOptions>(registry, MakeMergeLora),
       }) {
    WANLITE_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace wanlite
