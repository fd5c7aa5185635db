// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto_budget.h"

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

// Of two formats that cost the same, the one of less error.
Allocation Cheapest(const LayerChoices& layers) {
  Allocation cheapest;
  for (const std::vector<FormatChoice>& formats : layers) {
    const auto less = [](const FormatChoice& a, const FormatChoice& b) {
      return std::pair(a.cost, a.squared_error) < std::pair(b.cost, b.squared_error);
    };
    cheapest.push_back(
        static_cast<int>(std::min_element(formats.begin(), formats.end(), less) - formats.begin()));
  }
  return cheapest;
}

// The greatest common divisor of what formats cost more than the cheapest; 0 when costs are not all
// whole, or all the same.
int64_t CommonUnit(const LayerChoices& layers, const Allocation& cheapest) {
  int64_t unit = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const FormatChoice& format : layers[i]) {
      const double more = format.cost - layers[i][cheapest[i]].cost;
      if (more != std::floor(more) || more > 1e15) return 0;
      unit = std::gcd(unit, static_cast<int64_t>(more));
    }
  }
  return unit;
}

// Spends what is left: each time the step that takes away most error for what it costs.
void SpendRest(const LayerChoices& layers, double budget, Allocation& allocation) {
  double rest = budget - CostOf(layers, allocation);
  while (true) {
    double best_rate = 0;
    size_t best_layer = 0;
    int best_format = -1;
    for (size_t i = 0; i < layers.size(); ++i) {
      const FormatChoice& now = layers[i][allocation[i]];
      for (size_t f = 0; f < layers[i].size(); ++f) {
        const double gain = now.squared_error - layers[i][f].squared_error;
        const double more = layers[i][f].cost - now.cost;
        if (!(gain > 0) || more > rest) continue;
        const double rate = more > 0 ? gain / more : kNoFit;
        if (rate > best_rate) {
          best_rate = rate;
          best_layer = i;
          best_format = static_cast<int>(f);
        }
      }
    }
    if (best_format < 0) return;
    rest -= layers[best_layer][best_format].cost - layers[best_layer][allocation[best_layer]].cost;
    allocation[best_layer] = best_format;
  }
}

}  // namespace

double CostOf(const LayerChoices& layers, const Allocation& allocation) {
  double cost = 0;
  for (size_t i = 0; i < layers.size(); ++i) cost += layers[i][allocation[i]].cost;
  return cost;
}

double SquaredErrorOf(const LayerChoices& layers, const Allocation& allocation) {
  double error = 0;
  for (size_t i = 0; i < layers.size(); ++i) error += layers[i][allocation[i]].squared_error;
  return error;
}

double LeastCost(const LayerChoices& layers) { return CostOf(layers, Cheapest(layers)); }

std::optional<Allocation> BestAllocation(const LayerChoices& layers, double budget) {
  const Allocation cheapest = Cheapest(layers);
  const double spare = budget - CostOf(layers, cheapest);
  if (spare < 0) return std::nullopt;
  double dearest = 0;  // beyond this more money buys nothing
  for (size_t i = 0; i < layers.size(); ++i) {
    double most = 0;
    for (const FormatChoice& format : layers[i]) {
      most = std::max(most, format.cost - layers[i][cheapest[i]].cost);
    }
    dearest += most;
  }
  const double usable = std::min(spare, dearest);
  const auto common = static_cast<double>(CommonUnit(layers, cheapest));
  const double coarse = usable / static_cast<double>(kBudgetParts);
  const double unit = std::max({common, coarse, std::numeric_limits<double>::min()});
  const auto parts = static_cast<size_t>(usable / unit);
  const auto units_of = [&](size_t layer, size_t format) {
    const double more = layers[layer][format].cost - layers[layer][cheapest[layer]].cost;
    const double units = std::ceil(more / unit * (1 - 1e-12));
    return units > static_cast<double>(parts) ? parts + 1 : static_cast<size_t>(units);
  };
  // least[u]: the least error of the layers so far for at most u units.
  std::vector<double> least(parts + 1, 0.0), before;
  std::vector<std::vector<uint8_t>> chosen(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    before.swap(least);
    least.assign(parts + 1, kNoFit);
    chosen[i].assign(parts + 1, 0);
    for (size_t f = 0; f < layers[i].size(); ++f) {
      const size_t units = units_of(i, f);
      for (size_t u = units; u <= parts; ++u) {
        const double error = before[u - units] + layers[i][f].squared_error;
        if (error >= least[u]) continue;
        least[u] = error;
        chosen[i][u] = static_cast<uint8_t>(f);
      }
    }
  }
  Allocation allocation(layers.size());
  size_t left = parts;
  for (size_t i = layers.size(); i-- > 0;) {
    allocation[i] = chosen[i][left];
    left -= units_of(i, static_cast<size_t>(allocation[i]));
  }
  SpendRest(layers, budget, allocation);
  return allocation;
}

std::optional<Allocation> RandomAllocation(const LayerChoices& layers, double budget,
                                           uint64_t seed) {
  Allocation allocation = Cheapest(layers);
  double rest = budget - CostOf(layers, allocation);
  if (rest < 0) return std::nullopt;
  Random random(seed);
  while (true) {
    std::vector<std::pair<size_t, int>> steps;
    for (size_t i = 0; i < layers.size(); ++i) {
      for (size_t f = 0; f < layers[i].size(); ++f) {
        const double more = layers[i][f].cost - layers[i][allocation[i]].cost;
        if (more > 0 && more <= rest) steps.emplace_back(i, static_cast<int>(f));
      }
    }
    if (steps.empty()) return allocation;
    const auto [layer, format] = steps[random.Below(static_cast<int64_t>(steps.size()))];
    rest -= layers[layer][format].cost - layers[layer][allocation[layer]].cost;
    allocation[layer] = format;
  }
}

}  // namespace wanlite
