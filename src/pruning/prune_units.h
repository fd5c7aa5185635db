// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The structured passes prune-ffn, prune-heads, prune-width and prune-vae: units of axis groups are
// cut out, and what is left is a smaller network. Which units go is decided once, for the whole
// model, by a criterion (src/pruning/unit_scores.h); what is cut is values of the model as they
// are.
//
// How many units of each group stay is known before anything is read, except with
// UnitCriterion::GLOBAL: a plan then shows as much of each group.
//
// Groups within a block stream, a block at a time; those that are in several blocks (prune-width,
// the widths of prune-vae) are cut as the model is read. Lineage metrics: units and kept_units of
// the selected groups, kept_fraction.
#ifndef WANLITE_SRC_PRUNING_PRUNE_UNITS_H_
#define WANLITE_SRC_PRUNING_PRUNE_UNITS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class PruneFfnOptions;
class PruneHeadsOptions;
class PruneVaeOptions;
class PruneWidthOptions;

// InvalidArgument unless one of amount in [0, 1) and keep >= 1 is given, for multiple < 1, a wrong
// criterion, and keep with GLOBAL.
absl::StatusOr<std::unique_ptr<Pass>> MakePruneFfn(const PruneFfnOptions& options);
absl::StatusOr<std::unique_ptr<Pass>> MakePruneHeads(const PruneHeadsOptions& options);
absl::StatusOr<std::unique_ptr<Pass>> MakePruneWidth(const PruneWidthOptions& options);
// InvalidArgument for a criterion that wants recorded inputs too: none are recorded of
// autoencoders.
absl::StatusOr<std::unique_ptr<Pass>> MakePruneVae(const PruneVaeOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_UNITS_H_
