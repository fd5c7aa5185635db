// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto_report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/core/text_table.h"

namespace wanlite {
namespace {

const std::string& FormatName(const AllocationReport& report, const AutoLayer& layer,
                              size_t choice) {
  return report.names[static_cast<size_t>(layer.formats[choice])];
}

TextTable LayerTable(const AllocationReport& report) {
  TextTable rows{{"layer", "format"}};
  for (size_t f = 1; f < report.names.size(); ++f) {
    rows[0].push_back(absl::StrCat("error ", report.names[f]));
  }
  rows[0].push_back("why");
  const auto cost_text = [&](double cost) { return AutoCostText(cost, report.by_latency); };
  for (size_t i = 0; i < report.layers.size(); ++i) {
    const AutoLayer& layer = report.layers[i];
    const std::vector<Choice>& choices = report.problem.choices[i];
    const auto chosen = static_cast<size_t>(report.measured.front().allocation[i]);
    std::vector<std::string> row{layer.linear.path, FormatName(report, layer, chosen)};
    for (size_t f = 1; f < report.names.size(); ++f) {
      const auto at = std::find(layer.formats.begin(), layer.formats.end(), static_cast<int>(f));
      const auto choice = static_cast<size_t>(at - layer.formats.begin());
      row.push_back(
          at == layer.formats.end() ? "-" : ErrorText(std::sqrt(choices[choice].squared_error)));
    }
    const auto name = [&](size_t choice) { return FormatName(report, layer, choice); };
    row.push_back(WhyChoice(choices, chosen, name, cost_text));
    rows.push_back(std::move(row));
  }
  return rows;
}

SearchReport ReportOf(const AllocationReport& report) {
  const AutoProblem& problem = report.problem;
  const auto cost_text = [by_latency = report.by_latency](double cost) {
    return AutoCostText(cost, by_latency);
  };
  SearchReport search;
  search.subject = absl::StrFormat("%d layers within %s of their %s", report.layers.size(),
                                   cost_text(problem.budget), cost_text(problem.whole_cost));
  search.passes = report.passes;
  search.cost_name = report.by_latency ? "time" : "bytes";
  search.cost_text = cost_text;
  search.budget = problem.budget;
  search.whole_cost = problem.whole_cost;
  search.controls = report.controls;
  search.advice = "choose formats that differ more";
  for (const LayerAllocation& measured : report.measured) {
    search.measured.push_back({measured.name, CostOf(problem.choices, measured.allocation),
                               std::sqrt(SquaredErrorOf(problem.choices, measured.allocation)),
                               measured.error,
                               measured.allocation == report.measured.front().allocation});
  }
  search.items.push_back(LayerTable(report));
  return search;
}

}  // namespace

std::string AutoCostText(double cost, bool by_latency) {
  return by_latency ? MillisecondsText(cost) : FormatBytes(static_cast<int64_t>(cost));
}

std::vector<std::string> ExplainAllocation(const AllocationReport& report) {
  return ExplainSearch(ReportOf(report));
}

void SetAllocationMetrics(const AllocationReport& report, std::map<std::string, double>& metrics) {
  const LayerAllocation& found = report.measured.front();
  for (size_t i = 0; i < report.layers.size(); ++i) {
    const std::string& name =
        FormatName(report, report.layers[i], static_cast<size_t>(found.allocation[i]));
    metrics[absl::StrCat("layers_", MetricName(name))] += 1;
  }
  SetSearchMetrics(ReportOf(report), metrics);
}

}  // namespace wanlite
