// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_auto_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/core/text_table.h"

namespace wanlite {
namespace {

using BudgetCase = PruneAutoOptions::Budget::BudgetCase;
using Budget = PruneAutoOptions::Budget;

std::string CostName(BudgetCase budget) {
  switch (budget) {
    case Budget::kBytesFraction:
      return "bytes";
    case Budget::kFlopsFraction:
      return "operations";
    case Budget::kLatencyFraction:
      return "time";
    default:
      return "parameters";
  }
}

std::string KeptText(int64_t kept, int64_t units) { return absl::StrCat(kept, " of ", units); }

TextTable GroupTable(const PruneAutoOptions& options, const AutoModel& model,
                     const PruneCosts& costs, const Pruning& found,
                     const std::function<std::string(double)>& cost_text) {
  TextTable rows{{"group", "kept"}};
  for (const double ratio : options.ratios()) {
    rows[0].push_back(absl::StrFormat("error at -%.3g %%", 100 * ratio));
  }
  rows[0].push_back("why");
  for (size_t b = 0; b < model.blocks.size(); ++b) {
    for (const size_t g : model.blocks[b].groups) {
      const AutoGroup& group = model.groups[g];
      std::vector<std::string> row{group.group.name};
      const bool gone = found.left_out.contains(b);
      row.push_back(gone ? "none" : KeptText(found.kept[g], group.group.units));
      const auto choice_of = [&](int64_t kept) {
        return static_cast<size_t>(std::find(group.kept.begin(), group.kept.end(), kept) -
                                   group.kept.begin());
      };
      std::vector<Choice> choices;
      for (size_t c = 0; c < group.kept.size(); ++c) {
        choices.push_back({-costs.Saved(g, group.kept[c]), group.squared_errors[c]});
      }
      for (const double ratio : options.ratios()) {
        const size_t choice = choice_of(KeptAtRatio(group.group.units, ratio, options.multiple()));
        row.push_back(choice == 0 ? "-" : ErrorText(std::sqrt(group.squared_errors[choice])));
      }
      const auto name = [&](size_t choice) { return absl::StrCat("keeping ", group.kept[choice]); };
      row.push_back(gone ? "goes with its block"
                         : WhyChoice(choices, choice_of(found.kept[g]), name, cost_text));
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

// What leaving a block out costs beside what its widths cost now.
TextTable BlockTable(const AutoModel& model, const PruneCosts& costs, const Pruning& found,
                     const std::function<std::string(double)>& cost_text) {
  TextTable rows{{"block", "it", "error without", "saves", "error of its widths", "save"}};
  for (size_t b = 0; b < model.blocks.size(); ++b) {
    const AutoBlock& block = model.blocks[b];
    const bool gone = found.left_out.contains(b);
    double error = 0, saved = 0;
    for (const size_t g : block.groups) {
      const AutoGroup& group = model.groups[g];
      const auto choice = std::find(group.kept.begin(), group.kept.end(), found.kept[g]);
      error += group.squared_errors[static_cast<size_t>(choice - group.kept.begin())];
      saved += costs.Saved(g, found.kept[g]);
    }
    rows.push_back({block.path, gone ? "goes" : "stays",
                    block.removable ? ErrorText(std::sqrt(block.squared_error)) : "-",
                    cost_text(costs.Block(b)), gone ? "-" : ErrorText(std::sqrt(error)),
                    gone ? "-" : cost_text(saved)});
  }
  return rows;
}

}  // namespace

std::string PruneCostText(BudgetCase budget, double cost) {
  switch (budget) {
    case Budget::kBytesFraction:
      return FormatBytes(std::llround(cost));
    case Budget::kFlopsFraction:
      return FormatOps(2 * cost);
    case Budget::kLatencyFraction:
      return MillisecondsText(cost);
    default:
      return FormatCount(std::llround(cost));
  }
}

SearchReport MakePruneReport(const PruneAutoOptions& options, const AutoModel& model,
                             const PruneCosts& costs, double budget, int64_t passes,
                             const std::vector<MeasuredPruning>& measured) {
  const BudgetCase kind = options.budget().budget_case();
  SearchReport report;
  report.cost_text = [kind](double cost) { return PruneCostText(kind, cost); };
  report.subject = absl::StrFormat(
      "%d groups in %d blocks%s within %s of the networks' %s%s", model.groups.size(),
      model.blocks.size(), options.blocks() ? ", which may go too," : "", report.cost_text(budget),
      report.cost_text(costs.whole()), kind == Budget::kParametersFraction ? " parameters" : "");
  report.passes = passes;
  report.cost_name = CostName(kind);
  report.budget = budget;
  report.whole_cost = costs.whole();
  report.controls = options.controls();
  report.advice = "allow more ratios";
  for (const MeasuredPruning& pruning : measured) {
    report.measured.push_back({pruning.name, costs.Of(model, pruning.pruning), pruning.predicted,
                               pruning.error, pruning.pruning == measured.front().pruning});
  }
  const Pruning& found = measured.front().pruning;
  if (options.blocks()) report.items.push_back(BlockTable(model, costs, found, report.cost_text));
  report.items.push_back(GroupTable(options, model, costs, found, report.cost_text));
  return report;
}

}  // namespace wanlite
