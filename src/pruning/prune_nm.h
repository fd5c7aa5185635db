// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass prune-nm: N:M sparsity. Of each m neighbouring input features of an output n stay, by
// magnitude or as prune-wanda scores them.
#ifndef WANLITE_SRC_PRUNING_PRUNE_NM_H_
#define WANLITE_SRC_PRUNING_PRUNE_NM_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class PruneNmOptions;

// InvalidArgument unless 0 < n < m <= 32; from Plan(), naming the layer, when m does not divide its
// input features. Lineage metrics: weights and zero_weights of the selected layers, zero_fraction.
// On layers that are packed already, `store: ZEROS` with their pattern unpacks them.
absl::StatusOr<std::unique_ptr<Pass>> MakePruneNm(const PruneNmOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_NM_H_
