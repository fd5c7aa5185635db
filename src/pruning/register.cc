// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/register.h"

#include "src/proto/pruning.pb.h"
#include "src/pruning/drop_blocks.h"
#include "src/pruning/prune_auto.h"
#include "src/pruning/prune_magnitude.h"
#include "src/pruning/prune_nm.h"
#include "src/pruning/prune_sparsegpt.h"
#include "src/pruning/prune_units.h"
#include "src/pruning/prune_wanda.h"
#include "src/pruning/reduce_time_path.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status RegisterPruningPasses(PassRegistry& registry) {
  WANLITE_RETURN_IF_ERROR(RegisterPass<DropBlocksOptions>(registry, MakeDropBlocks));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneAutoOptions>(registry, MakePruneAuto));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneFfnOptions>(registry, MakePruneFfn));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneHeadsOptions>(registry, MakePruneHeads));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneMagnitudeOptions>(registry, MakePruneMagnitude));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneNmOptions>(registry, MakePruneNm));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneSparseGptOptions>(registry, MakePruneSparseGpt));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneVaeOptions>(registry, MakePruneVae));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneWandaOptions>(registry, MakePruneWanda));
  WANLITE_RETURN_IF_ERROR(RegisterPass<PruneWidthOptions>(registry, MakePruneWidth));
  WANLITE_RETURN_IF_ERROR(RegisterPass<ReduceTimePathOptions>(registry, MakeReduceTimePath));
  return absl::OkStatus();
}

}  // namespace wanlite
