// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which of its formats each layer gets when all together have a budget.
#ifndef WANLITE_SRC_QUANT_QUANTIZE_AUTO_BUDGET_H_
#define WANLITE_SRC_QUANT_QUANTIZE_AUTO_BUDGET_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace wanlite {

struct FormatChoice {
  double cost = 0;           // bytes or seconds
  double squared_error = 0;  // errors of layers are taken to be independent: their squares add up
};

// choices[layer][format], at least one of each layer. Result: the format of each layer.
using LayerChoices = std::vector<std::vector<FormatChoice>>;
using Allocation = std::vector<int>;

double CostOf(const LayerChoices& layers, const Allocation& allocation);
double SquaredErrorOf(const LayerChoices& layers, const Allocation& allocation);
// Of the allocation that costs least.
double LeastCost(const LayerChoices& layers);

// The allocation of least error within the budget, by dynamic programming over what the cheapest
// one leaves of it. Exact where costs are whole numbers and that divided by their greatest common
// divisor is at most kBudgetParts; else costs are rounded up to 1 / kBudgetParts of it, and what is
// left over at the end goes to the layers where it takes away most error. No value when nothing
// fits.
inline constexpr int64_t kBudgetParts = 50000;
std::optional<Allocation> BestAllocation(const LayerChoices& layers, double budget);

// Begins with the cheapest and makes random layers dearer, by a random step each, until nothing
// fits any more. The same seed gives the same one. No value when nothing fits.
std::optional<Allocation> RandomAllocation(const LayerChoices& layers, double budget,
                                           uint64_t seed);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZE_AUTO_BUDGET_H_
