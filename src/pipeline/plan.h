// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a pass would do, found by comparing a hollow model before and after.
#ifndef WANLITE_SRC_PIPELINE_PLAN_H_
#define WANLITE_SRC_PIPELINE_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/pipeline.h"

namespace wanlite {

// Gives `hollow` what the pass would leave, and tells the difference. `decision`: of Pass::Decide,
// null for an estimate. Errors begin with the pass's name.
absl::StatusOr<PassPlan> PlanOnto(const Pass& pass, const google::protobuf::Message* decision,
                                  ModelView& hollow);

// Watches the order of a recipe's stages, those of all rounds of a repeat one after the other.
class OrderWatch {
 public:
  // The stage that comes next; what is wrong with it there.
  std::vector<std::string> Next(const RecipeStage& stage);

 private:
  std::string unrecovered_;  // label of the last stage that pruned; empty once a stage recovers
};

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_PLAN_H_
