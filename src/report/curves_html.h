// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Quality over kept parameters of pruned models, as bench/prune_curves.py writes it, as one HTML
// page: a curve for each way of pruning, in several measures of quality.
#ifndef WANLITE_SRC_REPORT_CURVES_HTML_H_
#define WANLITE_SRC_REPORT_CURVES_HTML_H_

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// NaN where something was not measured.
struct CurvePoint {
  std::string variant;
  double amount = 0;      // that the recipe asked to remove, of units
  double kept = 0;        // parameters, counted, of the original's networks that are pruned
  double operations = 0;  // counted, of the original's per step
  double reading = 0, digit = 0, direction = 0, colour = 0, consistency = 0;  // shares
  double frechet_change = 0;
  double frechet_low = 0, frechet_high = 0;  // paired 95 % interval of the change
  double psnr_db = 0;
  double latency = 0, latency_low = 0, latency_high = 0;  // of the original's, quartiles
  int64_t training_steps = 0;
};

struct PruneCurves {
  std::string date, model, machine;
  int64_t clips = 0, threads = 0;
  double original_reading = 0, original_frechet = 0;
  std::vector<CurvePoint> points;
};

// InvalidArgument, beginning with `what`, for another version, a field that is missing or of the
// wrong type, and for no points.
absl::StatusOr<PruneCurves> ParsePruneCurves(absl::string_view json, absl::string_view what);

// A whole document, as EvaluationHtml().
std::string PruneCurvesHtml(const PruneCurves& curves);

}  // namespace wanlite

#endif  // WANLITE_SRC_REPORT_CURVES_HTML_H_
