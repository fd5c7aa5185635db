// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How a search under a budget says what came out: tables of allocations that were measured whole
// and of what each item got, a verdict, numbers for the lineage.
#ifndef WANLITE_SRC_SEARCH_SEARCH_REPORT_H_
#define WANLITE_SRC_SEARCH_SEARCH_REPORT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/search/allocation.h"

namespace wanlite {

// Of the whole model; infinite where an output is not finite.
struct WholeError {
  double trajectory = 0;  // of all components together, by their shares of passes
  double worst_pass = 0;  // of the pass where it is largest, as NetworkTrials scores it
  double worst_timestep = 0;
};

struct MeasuredAllocation {
  std::string name;                 // "found", "random 1", "all int8"
  double cost = 0;                  // of everything that the budget counts
  std::optional<double> predicted;  // error by the scores
  WholeError error = {};
  bool as_found = false;  // the same choices as the first one's
};

using TextTable = std::vector<std::vector<std::string>>;  // the heading first

struct SearchReport {
  std::string subject;    // "24 groups within 1.2 MB of the networks' 3 MB"
  int64_t passes = 0;     // of each network
  std::string cost_name;  // "bytes"
  std::function<std::string(double)> cost_text;
  double budget = 0;
  double whole_cost = 0;  // of the model as it is
  // The found one, `controls` random ones, others.
  std::vector<MeasuredAllocation> measured;
  int64_t controls = 0;
  std::string advice;  // when chance does as well: "choose formats that differ more"
  std::vector<TextTable> items = {};
};

// Adds the table to a pass's notes, line by line.
void AddTable(const TextTable& rows, std::vector<std::string>& lines);
std::string ErrorText(double error);
std::string MillisecondsText(double seconds);
// "int8" -> "int8", "by weight error" -> "by_weight_error": a key of the lineage.
std::string MetricName(std::string text);

// What the next cheaper choice of an item would do to the model, or else the next dearer one.
// name: of a choice.
std::string WhyChoice(const std::vector<Choice>& choices, size_t chosen,
                      const std::function<std::string(size_t choice)>& name,
                      const std::function<std::string(double)>& cost_text);

// Tables and a verdict, line by line.
std::vector<std::string> ExplainSearch(const SearchReport& report);
// error_NAME of each measured allocation, error_predicted, cost_fraction, beats_random.
void SetSearchMetrics(const SearchReport& report, std::map<std::string, double>& metrics);

}  // namespace wanlite

#endif  // WANLITE_SRC_SEARCH_SEARCH_REPORT_H_
