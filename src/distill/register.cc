// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/register.h"

#include "src/distill/distill.h"
#include "src/distill/distill_blocks.h"
#include "src/distill/guidance.h"
#include "src/distill/recover.h"
#include "src/distill/steps.h"
#include "src/distill/student.h"
#include "src/proto/distillation.pb.h"
#include "src/proto/pruning.pb.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status RegisterDistillPasses(PassRegistry& registry) {
  WANLITE_RETURN_IF_ERROR(RegisterPass<DistillOptions>(registry, MakeDistill));
  WANLITE_RETURN_IF_ERROR(RegisterPass<DistillGuidanceOptions>(registry, MakeDistillGuidance));
  WANLITE_RETURN_IF_ERROR(RegisterPass<DistillStepsOptions>(registry, MakeDistillSteps));
  WANLITE_RETURN_IF_ERROR(RegisterPass<DistillBlocksOptions>(registry, MakeDistillBlocks));
  WANLITE_RETURN_IF_ERROR(RegisterPass<RecoverOptions>(registry, MakeRecover));
  WANLITE_RETURN_IF_ERROR(RegisterPass<StudentOptions>(registry, MakeStudent));
  return absl::OkStatus();
}

}  // namespace wanlite
