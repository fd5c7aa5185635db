// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/allocation.h"

#include <limits>
#include <random>
#include <set>

#include "tests/testing/catch.h"

namespace wanlite {
namespace {

// Raw bits of a generator are the same everywhere.
struct Dice {
  std::mt19937_64 bits;
  double Uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  int64_t Below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
};

Choices RandomChoices(Dice& random, int layers, bool whole) {
  Choices choices(static_cast<size_t>(layers));
  for (std::vector<Choice>& layer : choices) {
    layer.resize(static_cast<size_t>(1 + random.Below(4)));
    for (Choice& choice : layer) {
      choice.cost = whole ? static_cast<double>(8 * random.Below(200)) : random.Uniform();
      choice.squared_error = random.Uniform();
    }
  }
  return choices;
}

// Every allocation tried.
double LeastErrorByTrying(const Choices& layers, double budget, size_t from = 0, double cost = 0,
                          double error = 0) {
  if (cost > budget) return std::numeric_limits<double>::infinity();
  if (from == layers.size()) return error;
  double least = std::numeric_limits<double>::infinity();
  for (const Choice& choice : layers[from]) {
    least = std::min(least, LeastErrorByTrying(layers, budget, from + 1, cost + choice.cost,
                                               error + choice.squared_error));
  }
  return least;
}

TEST_CASE("the best allocation has the error that trying all of them finds") {
  Dice random{std::mt19937_64(1)};
  for (int round = 0; round < 60; ++round) {
    const bool whole = round % 2 == 0;
    const Choices choices = RandomChoices(random, 6, whole);
    const double budget = LeastCost(choices) + random.Uniform() * (whole ? 2000 : 3);
    const std::optional<Allocation> best = BestAllocation(choices, budget);
    REQUIRE(best.has_value());
    CHECK(CostOf(choices, *best) <= budget);
    const double wanted = LeastErrorByTrying(choices, budget);
    // Costs that are no whole numbers are rounded up to a fifty thousandth.
    CHECK(SquaredErrorOf(choices, *best) >= wanted - 1e-12);
    CHECK(SquaredErrorOf(choices, *best) <= (whole ? wanted + 1e-12 : wanted * 1.02));
  }
}

TEST_CASE("a budget that is met by nothing, by one allocation, or by all") {
  const Choices choices = {{{10, 0.0}, {4, 1.0}}, {{10, 0.0}, {3, 2.0}}};
  CHECK_FALSE(BestAllocation(choices, 6.9).has_value());
  CHECK_FALSE(RandomAllocation(choices, 6.9, 1).has_value());
  CHECK(BestAllocation(choices, 7) == Allocation{1, 1});
  CHECK(RandomAllocation(choices, 7, 1) == Allocation{1, 1});
  CHECK(BestAllocation(choices, 14) == Allocation{1, 0});
  CHECK(BestAllocation(choices, 1e9) == Allocation{0, 0});
  CHECK(BestAllocation({{{5, 1}}}, 5) == Allocation{0});
}

TEST_CASE("random allocations fill the budget, differ, and come out the same for a seed") {
  Dice random{std::mt19937_64(2)};
  const Choices choices = RandomChoices(random, 40, /*whole=*/true);
  const double budget = LeastCost(choices) * 1.5;
  std::set<Allocation> seen;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const std::optional<Allocation> allocation = RandomAllocation(choices, budget, seed);
    REQUIRE(allocation.has_value());
    CHECK(CostOf(choices, *allocation) <= budget);
    CHECK(CostOf(choices, *allocation) > 0.95 * budget);
    CHECK(RandomAllocation(choices, budget, seed) == allocation);
    seen.insert(*allocation);
  }
  CHECK(seen.size() == 10);
}

}  // namespace
}  // namespace wanlite
