// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass prune-wanda (Sun et al., arXiv 2306.11695): weights go by their magnitude times the norm
// of the input feature that they multiply, over recorded inputs as the pruned layers before make
// them.
#ifndef WANLITE_SRC_PRUNING_PRUNE_WANDA_H_
#define WANLITE_SRC_PRUNING_PRUNE_WANDA_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class PruneWandaOptions;

// InvalidArgument for an amount that is missing, NaN or outside [0, 1], and for store PACKED.
// Lineage metrics: weights and zero_weights of the selected layers, zero_fraction.
absl::StatusOr<std::unique_ptr<Pass>> MakePruneWanda(const PruneWandaOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_WANDA_H_
