// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/search_report.h"

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

bool LessError(const MeasuredAllocation& a, const MeasuredAllocation& b) {
  return a.error.trajectory < b.error.trajectory;
}

// Of the random ones; null without.
const MeasuredAllocation* BestControl(const SearchReport& report) {
  const auto begin = report.measured.begin() + 1, end = begin + report.controls;
  const auto best = std::min_element(begin, end, LessError);
  return best == end ? nullptr : &*best;
}

// "0.21 at t 960"
std::string WorstText(const WholeError& error) {
  if (!std::isfinite(error.worst_pass)) return ErrorText(error.worst_pass);
  return absl::StrFormat("%s at t %.0f", ErrorText(error.worst_pass), error.worst_timestep);
}

std::string Verdict(const SearchReport& report) {
  const MeasuredAllocation& found = report.measured.front();
  const MeasuredAllocation* control = BestControl(report);
  if (control == nullptr) return "no random allocation was measured beside it: controls is 0";
  if (control->as_found) {
    return "a random allocation came out the same: the budget leaves little choice";
  }
  if (found.error.trajectory < control->error.trajectory) {
    return absl::StrCat("found ", ErrorText(found.error.trajectory), " against ",
                        ErrorText(control->error.trajectory), " of the best of ", report.controls,
                        " random allocations");
  }
  return absl::StrCat("NOT BETTER THAN CHANCE: found ", ErrorText(found.error.trajectory), ", ",
                      control->name, " ", ErrorText(control->error.trajectory),
                      ". Items together do not err as each alone; score more samples, or ",
                      report.advice);
}

}  // namespace

void AddTable(const TextTable& rows, std::vector<std::string>& lines) {
  const std::string table = FormatTable(rows);
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    if (!line.empty()) lines.emplace_back(line);
  }
}

std::string ErrorText(double error) {
  return std::isfinite(error) ? absl::StrFormat("%.3g", error) : "not finite";
}

std::string MillisecondsText(double seconds) { return absl::StrFormat("%.3f ms", 1e3 * seconds); }

std::string MetricName(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return text;
}

std::string WhyChoice(const std::vector<Choice>& choices, size_t chosen,
                      const std::function<std::string(size_t choice)>& name,
                      const std::function<std::string(double)>& cost_text) {
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
  return absl::StrCat(name(static_cast<size_t>(other - choices.data())),
                      cheaper != nullptr ? " would save " : " would take ",
                      cost_text(std::abs(other->cost - now.cost)), ", error ",
                      ErrorText(std::sqrt(now.squared_error)), " -> ",
                      ErrorText(std::sqrt(other->squared_error)));
}

std::vector<std::string> ExplainSearch(const SearchReport& report) {
  std::vector<std::string> lines;
  lines.push_back(absl::StrFormat(
      "%s; errors are those of the path that %d recorded forward passes of each network make of "
      "the latents, as a part of its length, and beside them that of the worst pass alone",
      report.subject, report.passes));
  TextTable rows{
      {"allocation", report.cost_name, "of them", "predicted", "measured", "worst pass"}};
  for (const MeasuredAllocation& measured : report.measured) {
    rows.push_back({measured.name, report.cost_text(measured.cost),
                    absl::StrFormat("%.1f %%%s", 100 * measured.cost / report.whole_cost,
                                    measured.cost > report.budget ? ", over" : ""),
                    measured.predicted.has_value() ? ErrorText(*measured.predicted) : "-",
                    ErrorText(measured.error.trajectory), WorstText(measured.error)});
  }
  AddTable(rows, lines);
  lines.push_back(Verdict(report));
  const MeasuredAllocation& found = report.measured.front();
  for (size_t i = 1 + static_cast<size_t>(report.controls); i < report.measured.size(); ++i) {
    const MeasuredAllocation& other = report.measured[i];
    if (other.cost > report.budget || !LessError(other, found)) continue;
    lines.push_back(absl::StrCat("NOT THE BEST MEASURED: '", other.name, "' keeps the budget with ",
                                 ErrorText(other.error.trajectory), " against ",
                                 ErrorText(found.error.trajectory)));
  }
  for (const TextTable& table : report.items) AddTable(table, lines);
  return lines;
}

void SetSearchMetrics(const SearchReport& report, std::map<std::string, double>& metrics) {
  const MeasuredAllocation& found = report.measured.front();
  for (const MeasuredAllocation& measured : report.measured) {
    if (!std::isfinite(measured.error.trajectory)) continue;
    metrics[absl::StrCat("error_", MetricName(measured.name))] = measured.error.trajectory;
  }
  if (found.predicted.has_value()) metrics["error_predicted"] = *found.predicted;
  metrics["cost_fraction"] = found.cost / report.whole_cost;
  if (const MeasuredAllocation* control = BestControl(report)) {
    metrics["beats_random"] = found.error.trajectory < control->error.trajectory ? 1 : 0;
  }
}

}  // namespace wanlite
