// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which of its choices (formats, widths) each item of a list (layers, groups) gets when all
// together have a budget.
#ifndef WANLITE_SRC_SEARCH_ALLOCATION_H_
#define WANLITE_SRC_SEARCH_ALLOCATION_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace wanlite {

struct Choice {
  double cost = 0;           // bytes, seconds, operations
  double squared_error = 0;  // errors of items are taken to be independent: their squares add up
};

// choices[item][n], at least one of each item and at most 65536. Result: the choice of each item.
using Choices = std::vector<std::vector<Choice>>;
using Allocation = std::vector<int>;

double CostOf(const Choices& items, const Allocation& allocation);
double SquaredErrorOf(const Choices& items, const Allocation& allocation);
// Of the allocation that costs least.
double LeastCost(const Choices& items);

// The allocation of least error within the budget, by dynamic programming over what the cheapest
// one leaves of it. Exact where costs are whole numbers and that divided by their greatest common
// divisor is at most kBudgetParts; else costs are rounded up to 1 / kBudgetParts of it, and what is
// left over at the end goes to the items where it takes away most error. Choices that another one
// of the item matches in both cost nothing. No value when nothing fits.
inline constexpr int64_t kBudgetParts = 50000;
std::optional<Allocation> BestAllocation(const Choices& items, double budget);

// Begins with the cheapest and makes random items dearer, by a random step each, until nothing
// fits any more. The same seed gives the same one. No value when nothing fits.
std::optional<Allocation> RandomAllocation(const Choices& items, double budget, uint64_t seed);

}  // namespace wanlite

#endif  // WANLITE_SRC_SEARCH_ALLOCATION_H_
