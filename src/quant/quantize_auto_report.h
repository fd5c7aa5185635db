// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What quantize-auto works with, and how it says what came out.
#ifndef WANLITE_SRC_QUANT_QUANTIZE_AUTO_REPORT_H_
#define WANLITE_SRC_QUANT_QUANTIZE_AUTO_REPORT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "src/search/allocation.h"
#include "src/search/search_report.h"
#include "wanlite/model_view.h"

namespace wanlite {

// A selected layer and the formats that it can have: 0 for as it is, n for the n-th candidate.
struct AutoLayer {
  LinearInfo linear;
  std::string component;
  int64_t out_features = 0, in_features = 0;
  std::vector<int> formats;
  std::vector<int64_t> bytes;  // of the matrix in each of them
};

// Layers with what their formats cost and do.
struct AutoProblem {
  Choices choices;
  double budget = 0;
  double whole_cost = 0;  // of the layers as they are
};

struct LayerAllocation {
  std::string name;
  Allocation allocation;
  WholeError error = {};  // measured
};

struct AllocationReport {
  const std::vector<AutoLayer>& layers;
  const std::vector<std::string>& names;  // of formats
  const AutoProblem& problem;
  // The found one, `controls` random ones, others.
  const std::vector<LayerAllocation>& measured;
  int64_t controls = 0;
  int64_t passes = 0;
  bool by_latency = false;  // else costs are bytes
};

std::string AutoCostText(double cost, bool by_latency);

// Tables and a verdict, line by line.
std::vector<std::string> ExplainAllocation(const AllocationReport& report);
void SetAllocationMetrics(const AllocationReport& report, std::map<std::string, double>& metrics);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZE_AUTO_REPORT_H_
