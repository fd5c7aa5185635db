// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One HTML page of the curves of trainings: the loss and its terms over the steps.
#ifndef WANLITE_SRC_REPORT_TRAINING_HTML_H_
#define WANLITE_SRC_REPORT_TRAINING_HTML_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// A log as trainings write it, a JSON object a line: {"step": 0, "loss": …, "terms": {…}, "rate":
// …, "gradient_norm": …}. What is no number there is NaN here.
struct TrainingCurve {
  std::string name;
  std::vector<int64_t> steps;  // ascending
  std::vector<double> loss, rate, gradient_norm;
  // Of each term by name, in the order of the log.
  std::vector<std::pair<std::string, std::vector<double>>> terms;
  int64_t skipped = 0;  // steps that were left out
};

// InvalidArgument, naming the line of `what`, for a text that is no log, and for an empty one.
absl::StatusOr<TrainingCurve> ParseTrainingLog(absl::string_view text, absl::string_view what);

// The whole page. Runs no script and loads nothing.
std::string TrainingHtml(const std::vector<TrainingCurve>& curves);

}  // namespace wanlite

#endif  // WANLITE_SRC_REPORT_TRAINING_HTML_H_
