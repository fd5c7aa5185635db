// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "src/core/text_table.h"

namespace wanlite {
namespace {

// Of the random ones; null without.
const MeasuredAllocation* BestControl(const AllocationReport& report) {
  const auto begin = report.measured.begin() + 1, end = begin + report.controls;
  const auto best =
      std::min_element(begin, end, [](const auto& a, const auto& b) { return a.error < b.error; });
  return best == end ? nullptr : &*best;
}

const std::string& FormatName(const AllocationReport& report, const AutoLayer& layer,
                              size_t choice) {
  return report.names[static_cast<size_t>(layer.formats[choice])];
}

std::string MetricName(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return text;
}

void AddTable(const std::vector<std::vector<std::string>>& rows, std::vector<std::string>& lines) {
  const std::string table = FormatTable(rows);
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    if (!line.empty()) lines.emplace_back(line);
  }
}

std::string Verdict(const AllocationReport& report) {
  const MeasuredAllocation& found = report.measured.front();
  const MeasuredAllocation* control = BestControl(report);
  if (control == nullptr) return "no random allocation was measured beside it: controls is 0";
  if (found.allocation == control->allocation) {
    return "a random allocation came out the same: the budget leaves little choice";
  }
  if (found.error < control->error) {
    return absl::StrCat("found ", ErrorText(found.error), " against ", ErrorText(control->error),
                        " of the best of ", report.controls, " random allocations");
  }
  return absl::StrCat("NOT BETTER THAN CHANCE: found ", ErrorText(found.error), ", ", control->name,
                      " ", ErrorText(control->error),
                      ". Layers together do not err as each alone; score more samples, or choose "
                      "formats that differ more");
}

// What the next cheaper format would do to the model, or else the next dearer one.
std::string Why(const AllocationReport& report, const AutoLayer& layer,
                const std::vector<Choice>& choices, size_t chosen) {
  const Choice& now = choices[chosen];
  const Choice* cheaper = nullptr;
  const Choice* dearer = nullptr;
  for (const Choice& choice : choices) {
    if (choice.cost < now.cost && (cheaper == nullptr || choice.cost > cheaper->cost)) {
      cheaper = &choice;
    }
    if (choice.cost > now.cost && (dearer == nullptr || choice.cost < dearer->cost)) {
      dearer = &choice;
    }
  }
  const Choice* other = cheaper != nullptr ? cheaper : dearer;
  if (other == nullptr) return "no other choice";
  return absl::StrCat(FormatName(report, layer, static_cast<size_t>(other - choices.data())),
                      cheaper != nullptr ? " would save " : " would take ",
                      CostText(std::abs(other->cost - now.cost), report.by_latency), ", error ",
                      ErrorText(std::sqrt(now.squared_error)), " -> ",
                      ErrorText(std::sqrt(other->squared_error)));
}

}  // namespace

std::string CostText(double cost, bool by_latency) {
  if (!by_latency) return FormatBytes(static_cast<int64_t>(cost));
  return absl::StrFormat("%.3f ms", 1e3 * cost);
}

std::string ErrorText(double error) {
  return std::isfinite(error) ? absl::StrFormat("%.3g", error) : "not finite";
}

std::vector<std::string> ExplainAllocation(const AllocationReport& report) {
  const AutoProblem& problem = report.problem;
  std::vector<std::string> lines;
  lines.push_back(absl::StrFormat(
      "%d layers within %s of their %s; errors are those of the path that %d recorded forward "
      "passes of each network make of the latents, as a part of its length",
      report.layers.size(), CostText(problem.budget, report.by_latency),
      CostText(problem.whole_cost, report.by_latency), report.passes));
  std::vector<std::vector<std::string>> rows{
      {"allocation", report.by_latency ? "time" : "bytes", "of them", "predicted", "measured"}};
  for (const MeasuredAllocation& measured : report.measured) {
    const double cost = CostOf(problem.choices, measured.allocation);
    rows.push_back({measured.name, CostText(cost, report.by_latency),
                    absl::StrFormat("%.1f %%%s", 100 * cost / problem.whole_cost,
                                    cost > problem.budget ? ", over" : ""),
                    ErrorText(std::sqrt(SquaredErrorOf(problem.choices, measured.allocation))),
                    ErrorText(measured.error)});
  }
  AddTable(rows, lines);
  lines.push_back(Verdict(report));
  rows = {{"layer", "format"}};
  for (size_t f = 1; f < report.names.size(); ++f) {
    rows[0].push_back(absl::StrCat("error ", report.names[f]));
  }
  rows[0].push_back("why");
  for (size_t i = 0; i < report.layers.size(); ++i) {
    const AutoLayer& layer = report.layers[i];
    const auto chosen = static_cast<size_t>(report.measured.front().allocation[i]);
    std::vector<std::string> row{layer.linear.path, FormatName(report, layer, chosen)};
    for (size_t f = 1; f < report.names.size(); ++f) {
      const auto at = std::find(layer.formats.begin(), layer.formats.end(), static_cast<int>(f));
      const auto choice = static_cast<size_t>(at - layer.formats.begin());
      row.push_back(at == layer.formats.end()
                        ? "-"
                        : ErrorText(std::sqrt(problem.choices[i][choice].squared_error)));
    }
    row.push_back(Why(report, layer, problem.choices[i], chosen));
    rows.push_back(std::move(row));
  }
  AddTable(rows, lines);
  return lines;
}

void SetAllocationMetrics(const AllocationReport& report, std::map<std::string, double>& metrics) {
  const MeasuredAllocation& found = report.measured.front();
  for (size_t i = 0; i < report.layers.size(); ++i) {
    const std::string& name =
        FormatName(report, report.layers[i], static_cast<size_t>(found.allocation[i]));
    metrics[absl::StrCat("layers_", MetricName(name))] += 1;
  }
  for (const MeasuredAllocation& measured : report.measured) {
    if (!std::isfinite(measured.error)) continue;
    metrics[absl::StrCat("error_", MetricName(measured.name))] = measured.error;
  }
  metrics["error_predicted"] = std::sqrt(SquaredErrorOf(report.problem.choices, found.allocation));
  metrics["cost_fraction"] =
      CostOf(report.problem.choices, found.allocation) / report.problem.whole_cost;
  if (const MeasuredAllocation* control = BestControl(report)) {
    metrics["beats_random"] = found.error < control->error ? 1 : 0;
  }
}

}  // namespace wanlite
