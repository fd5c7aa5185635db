// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/allocation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

#include "src/core/random.h"

namespace wanlite {
namespace {

constexpr double kNoFit = std::numeric_limits<double>::infinity();

// Of two choices that cost the same, the one of less error.
Allocation Cheapest(const Choices& items) {
  Allocation cheapest;
  for (const std::vector<Choice>& choices : items) {
    const auto less = [](const Choice& a, const Choice& b) {
      return std::pair(a.cost, a.squared_error) < std::pair(b.cost, b.squared_error);
    };
    cheapest.push_back(
        static_cast<int>(std::min_element(choices.begin(), choices.end(), less) - choices.begin()));
  }
  return cheapest;
}

// The greatest common divisor of what choices cost more than the cheapest; 0 when costs are not all
// whole, or all the same.
int64_t CommonUnit(const Choices& items, const Allocation& cheapest) {
  int64_t unit = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    for (const Choice& choice : items[i]) {
      const double more = choice.cost - items[i][cheapest[i]].cost;
      if (more != std::floor(more) || more > 1e15) return 0;
      unit = std::gcd(unit, static_cast<int64_t>(more));
    }
  }
  return unit;
}

// The choices of an item of which no other is both cheaper and better: cheapest first.
std::vector<size_t> Undominated(const std::vector<Choice>& choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(choices[a].cost, choices[a].squared_error) <
           std::pair(choices[b].cost, choices[b].squared_error);
  });
  std::vector<size_t> kept;
  for (const size_t choice : order) {
    if (!kept.empty() && !(choices[choice].squared_error < choices[kept.back()].squared_error)) {
      continue;
    }
    kept.push_back(choice);
  }
  return kept;
}

// Spends what is left: each time the step that takes away most error for what it costs.
void SpendRest(const Choices& items, double budget, Allocation& allocation) {
  double rest = budget - CostOf(items, allocation);
  while (true) {
    double best_rate = 0;
    size_t best_item = 0;
    int best_choice = -1;
    for (size_t i = 0; i < items.size(); ++i) {
      const Choice& now = items[i][allocation[i]];
      for (size_t f = 0; f < items[i].size(); ++f) {
        const double gain = now.squared_error - items[i][f].squared_error;
        const double more = items[i][f].cost - now.cost;
        if (!(gain > 0) || more > rest) continue;
        const double rate = more > 0 ? gain / more : kNoFit;
        if (rate > best_rate) {
          best_rate = rate;
          best_item = i;
          best_choice = static_cast<int>(f);
        }
      }
    }
    if (best_choice < 0) return;
    rest -= items[best_item][best_choice].cost - items[best_item][allocation[best_item]].cost;
    allocation[best_item] = best_choice;
  }
}

}  // namespace

double CostOf(const Choices& items, const Allocation& allocation) {
  double cost = 0;
  for (size_t i = 0; i < items.size(); ++i) cost += items[i][allocation[i]].cost;
  return cost;
}

double SquaredErrorOf(const Choices& items, const Allocation& allocation) {
  double error = 0;
  for (size_t i = 0; i < items.size(); ++i) error += items[i][allocation[i]].squared_error;
  return error;
}

double LeastCost(const Choices& items) { return CostOf(items, Cheapest(items)); }

std::optional<Allocation> BestAllocation(const Choices& items, double budget) {
  const Allocation cheapest = Cheapest(items);
  const double spare = budget - CostOf(items, cheapest);
  if (spare < 0) return std::nullopt;
  double dearest = 0;  // beyond this more money buys nothing
  for (size_t i = 0; i < items.size(); ++i) {
    double most = 0;
    for (const Choice& choice : items[i]) {
      most = std::max(most, choice.cost - items[i][cheapest[i]].cost);
    }
    dearest += most;
  }
  const double usable = std::min(spare, dearest);
  const auto common = static_cast<double>(CommonUnit(items, cheapest));
  const double coarse = usable / static_cast<double>(kBudgetParts);
  const double unit = std::max({common, coarse, std::numeric_limits<double>::min()});
  const auto parts = static_cast<size_t>(usable / unit);
  const auto units_of = [&](size_t item, size_t choice) {
    const double more = items[item][choice].cost - items[item][cheapest[item]].cost;
    const double units = std::ceil(more / unit * (1 - 1e-12));
    return units > static_cast<double>(parts) ? parts + 1 : static_cast<size_t>(units);
  };
  // least[u]: the least error of the items so far for at most u units.
  std::vector<double> least(parts + 1, 0.0), before;
  std::vector<std::vector<uint16_t>> chosen(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    before.swap(least);
    least.assign(parts + 1, kNoFit);
    chosen[i].assign(parts + 1, 0);
    for (const size_t f : Undominated(items[i])) {
      const size_t units = units_of(i, f);
      for (size_t u = units; u <= parts; ++u) {
        const double error = before[u - units] + items[i][f].squared_error;
        if (error >= least[u]) continue;
        least[u] = error;
        chosen[i][u] = static_cast<uint16_t>(f);
      }
    }
  }
  Allocation allocation(items.size());
  size_t left = parts;
  for (size_t i = items.size(); i-- > 0;) {
    allocation[i] = chosen[i][left];
    left -= units_of(i, static_cast<size_t>(allocation[i]));
  }
  SpendRest(items, budget, allocation);
  return allocation;
}

std::optional<Allocation> RandomAllocation(const Choices& items, double budget, uint64_t seed) {
  Allocation allocation = Cheapest(items);
  double rest = budget - CostOf(items, allocation);
  if (rest < 0) return std::nullopt;
  Random random(seed);
  while (true) {
    std::vector<std::pair<size_t, int>> steps;
    for (size_t i = 0; i < items.size(); ++i) {
      for (size_t f = 0; f < items[i].size(); ++f) {
        const double more = items[i][f].cost - items[i][allocation[i]].cost;
        if (more > 0 && more <= rest) steps.emplace_back(i, static_cast<int>(f));
      }
    }
    if (steps.empty()) return allocation;
    const auto [item, choice] = steps[random.Below(static_cast<int64_t>(steps.size()))];
    rest -= items[item][choice].cost - items[item][allocation[item]].cost;
    allocation[item] = choice;
  }
}

}  // namespace wanlite
