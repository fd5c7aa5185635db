// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass prune-magnitude: the weights of smallest magnitude become zero, for good. The same
// weights as torch.nn.utils.prune.l1_unstructured (LOCAL) and global_unstructured with
// L1Unstructured (GLOBAL), each followed by prune.remove, up to the order of equal magnitudes: here
// the first ones go, by layer in forward order and then by row.
#ifndef WANLITE_SRC_PRUNING_PRUNE_MAGNITUDE_H_
#define WANLITE_SRC_PRUNING_PRUNE_MAGNITUDE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class PruneMagnitudeOptions;

// InvalidArgument for an amount that is missing, NaN or outside [0, 1]. Lineage metrics: weights
// and zero_weights of the selected layers, zero_fraction.
//
// GLOBAL reads the selected layers of a component twice before the first block is pruned, and keeps
// 512 KiB of counts per layer meanwhile; no more than one block is in memory. What it finds is a
// decision: a run that is resumed does not read them again.
absl::StatusOr<std::unique_ptr<Pass>> MakePruneMagnitude(const PruneMagnitudeOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_MAGNITUDE_H_
