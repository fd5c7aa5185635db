// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What it costs to remove each unit of some axis groups, by any criterion of pruning.proto.
#ifndef WANLITE_SRC_PRUNING_UNIT_SCORES_H_
#define WANLITE_SRC_PRUNING_UNIT_SCORES_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite {

class UnitCriterion;

// Fills in the defaults; OptionError() of fields below `field` ("criterion.disturbance").
absl::Status ResolveCriterion(UnitCriterion& criterion, absl::string_view field);
// Whether scores come from recorded inputs.
bool NeedsSamples(const UnitCriterion& criterion);

struct UnitScores {
  // fp64 [units], not negative: of removing the unit, the mean over the scored passes by their
  // weight, or the worst one's with UnitCriterion::WORST. Comparable within the groups of one kind
  // and component.
  at::Tensor cost;
  // fp64 [units]: at the timestep at which all units of the group together cost most, and that
  // timestep. Undefined for scores that look at weights alone.
  at::Tensor worst;
  double worst_timestep = 0;
};

// By name of the group. groups: of model.groups(). criterion: resolved. Streams: one block is
// leased at a time, and nothing is changed. The same scores for the same model, samples and
// PassContext::seed. InvalidArgument, naming the group, where scores are not finite or the weights
// are of a format that has no matrix; FailedPrecondition for a group whose component has no samples
// where NeedsSamples().
absl::StatusOr<std::map<std::string, UnitScores>> ScoreUnits(ModelView& model,
                                                             const std::vector<AxisGroup>& groups,
                                                             const UnitCriterion& criterion,
                                                             PassContext& context);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_UNIT_SCORES_H_
