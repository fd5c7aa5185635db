// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_PRUNING_PRUNE_AUTO_TIME_H_
#define WANLITE_SRC_PRUNING_PRUNE_AUTO_TIME_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/pruning/prune_auto_problem.h"
#include "src/search/sensitivity.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite {

// Times each block of the groups' components as it is, and with the units of one group cut, for
// each number of units that the group may keep: as a runner has them, in fp32 and laid out for this
// machine, on what comes to the block in the first recorded pass. The median of several runs, the
// whole block and the cut one in turn, so that a busy moment slows both. Blocks of the same shapes
// are timed once. Times are kept in the scan ("whole", "keep 24"). FailedPrecondition for a
// component that cannot be built anew (Component::definition).
absl::StatusOr<PruneCosts> TimePrunedBlocks(ModelView& model, const AutoModel& found,
                                            PassContext& context, Sensitivity& sensitivity);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_AUTO_TIME_H_
