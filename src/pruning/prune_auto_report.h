// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How prune-auto says what came out.
#ifndef WANLITE_SRC_PRUNING_PRUNE_AUTO_REPORT_H_
#define WANLITE_SRC_PRUNING_PRUNE_AUTO_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/pruning/prune_auto_problem.h"
#include "src/search/search_report.h"

namespace wanlite {

// A cost in the words of the budget that counts it: "1.20 M parameters", "3.1 MB", "2 GFLOP".
std::string PruneCostText(PruneAutoOptions::Budget::BudgetCase budget, double cost);

struct MeasuredPruning {
  std::string name;
  Pruning pruning;
  std::optional<double> predicted = {};
  WholeError error = {};  // measured
};

// measured: the found one first, then options.controls() random ones, then others.
SearchReport MakePruneReport(const PruneAutoOptions& options, const AutoModel& model,
                             const PruneCosts& costs, double budget, int64_t passes,
                             const std::vector<MeasuredPruning>& measured);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_AUTO_REPORT_H_
