// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass prune-sparsegpt: weights that cost least on recorded inputs become zero, and those that
// stay make up for them (src/pruning/sparse_gpt.h).
#ifndef WANLITE_SRC_PRUNING_PRUNE_SPARSEGPT_H_
#define WANLITE_SRC_PRUNING_PRUNE_SPARSEGPT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class PruneSparseGptOptions;

// InvalidArgument unless either an amount in [0, 1] is given or n and m, 0 < n < m <= 32; for
// columns or a damping out of range; for store PACKED with an amount. From Plan(), naming the
// layer, when m does not divide its input features. Lineage metrics: weights and zero_weights of
// the selected layers, zero_fraction; mean_relative_output_error, of the layers' outputs.
absl::StatusOr<std::unique_ptr<Pass>> MakePruneSparseGpt(const PruneSparseGptOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_SPARSEGPT_H_
