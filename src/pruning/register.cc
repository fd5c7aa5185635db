// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/register.h"

#include "src/proto/pruning.pb.h"
#include "src/pruning/prune_magnitude.h"

namespace wanlite {

absl::Status RegisterPruningPasses(PassRegistry& registry) {
  return RegisterPass<PruneMagnitudeOptions>(registry, MakePruneMagnitude);
}

}  // namespace wanlite
