// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which value of a student is compared with which of its teacher.
#ifndef WANLITE_SRC_DISTILL_VALUE_PAIRS_H_
#define WANLITE_SRC_DISTILL_VALUE_PAIRS_H_

#include <google/protobuf/repeated_field.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/distill/objective.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/model_view.h"

namespace wanlite::distill {

using ValuePairs = google::protobuf::RepeatedPtrField<ValuePair>;

// What the student alone tells of pairs: OptionError of "FIELD[0].block", say, for a block that the
// component does not have or a value that its program does not make.
absl::Status CheckPairs(const ModelView& student, const std::string& component,
                        const ValuePairs& pairs, const std::string& field);

// The pairs, in both programs. None given: what each block of the student changes, beside what the
// teacher's gives before the next block that the student still has, blocks being the same by their
// origin in the component. teachers: components of `teacher`. FailedPrecondition, naming it, for a
// block that a teacher does not have or has in another order, and for a component without a
// program.
absl::StatusOr<std::vector<ComparedValue>> MatchValues(const ModelView& student,
                                                       const std::string& component,
                                                       const ModelView& teacher,
                                                       const std::vector<std::string>& teachers,
                                                       const ValuePairs& pairs);

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_VALUE_PAIRS_H_
