// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Scores of units from recorded forward passes: what ScoreUnits() does for each criterion that
// needs samples.
#ifndef WANLITE_SRC_PRUNING_PASS_SCORES_H_
#define WANLITE_SRC_PRUNING_PASS_SCORES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/pruning/unit_scores.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite {

using ScoresByGroup = std::map<std::string, UnitScores>;

// Whether the criterion is TAYLOR or OBD, and whether at disturbed gates.
bool IsGradientScore(const UnitCriterion& criterion);
bool IsDisturbedScore(const UnitCriterion& criterion);

// FailedPrecondition and InvalidArgument, naming the group, where no samples can score it.
absl::Status CheckGroupSamples(const ModelView& model, const std::vector<AxisGroup>& groups,
                               const PassContext& context);
// By any criterion that needs samples, which are there. context has a disk and a scratch folder.
absl::StatusOr<ScoresByGroup> ScoreByPasses(ModelView& model, const std::vector<AxisGroup>& groups,
                                            const UnitCriterion& criterion,
                                            const PassContext& context);
// A stream of random numbers of a group, and of one of its samples.
enum ScoreSeed : uint64_t { kRandomScores = 1, kDisturbance = 2 };
uint64_t ScoreSeedOf(uint64_t seed, ScoreSeed stream, const std::string& group, int64_t sample = 0);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PASS_SCORES_H_
