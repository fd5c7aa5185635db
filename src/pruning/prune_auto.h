// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass prune-auto: how many units each group keeps, and which blocks go, under a budget.
// docs/pruning.md, "Searched".
#ifndef WANLITE_SRC_PRUNING_PRUNE_AUTO_H_
#define WANLITE_SRC_PRUNING_PRUNE_AUTO_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class PruneAutoOptions;

// InvalidArgument for options that are wrong. Lineage metrics: cost_fraction, error_found and those
// of what it was compared with, beats_random, groups_cut, units_removed, blocks_dropped.
absl::StatusOr<std::unique_ptr<Pass>> MakePruneAuto(const PruneAutoOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_AUTO_H_
