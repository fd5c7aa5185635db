// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/choose_units.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

std::vector<int64_t> Units(const at::Tensor& kept) {
  const int64_t* data = kept.const_data_ptr<int64_t>();
  return {data, data + kept.numel()};
}

at::Tensor Cost(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

TEST_CASE("the units that cost most stay, and of equal ones the first") {
  CHECK(Units(MostCostly(Cost({3, 1, 2, 5}), 2)) == std::vector<int64_t>{0, 3});
  CHECK(Units(MostCostly(Cost({1, 1, 1, 1}), 3)) == std::vector<int64_t>{0, 1, 2});
  CHECK(Units(MostCostly(Cost({0, 2, 0}), 3)) == std::vector<int64_t>{0, 1, 2});
}

TEST_CASE("counts of kept units are those asked for, rounded up to multiples") {
  const auto kept = [](double amount, int64_t multiple, int64_t units) {
    UnitAmount asked;
    asked.amount = amount;
    asked.multiple = multiple;
    return UnitsToKeep(asked, units, units);
  };
  CHECK(kept(0.25, 1, 40) == 30);
  CHECK(kept(0, 1, 40) == 40);
  CHECK(kept(0.01, 1, 40) == 40);
  CHECK(kept(0.999, 1, 40) == 1);
  CHECK(kept(0.25, 16, 40) == 32);
  CHECK(kept(0.99, 8, 40) == 8);
  CHECK(kept(0.05, 16, 40) == 40);  // 38 would be 48
  CHECK(kept(0.5, 256, 13824) == 6912);
  CHECK(kept(0.3, 256, 13824) == 9728);  // 9677
  UnitAmount eight;
  eight.keep = 8;
  CHECK(UnitsToKeep(eight, 40, 40) == 8);
  eight.multiple = 16;
  CHECK(UnitsToKeep(eight, 40, 40) == 16);
  CHECK(RoundedUnits(eight, 40) == 16);
  eight.keep = 33;
  CHECK(RoundedUnits(eight, 40) == 48);
  CHECK(UnitsToKeep(eight, 40, 40) == 40);
}

TEST_CASE("a schedule ends at what one shot keeps, whatever its rounds and multiples") {
  Random random(7);
  double worst = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    UnitAmount asked;
    const int64_t original = 1 + random.Below(5000);
    asked.multiple = 1 + random.Below(std::min<int64_t>(original, 300));
    asked.amount = random.Uniform() * 0.95;
    if (trial % 3 == 0) asked.keep = 1 + random.Below(original);
    const int64_t rounds = 1 + random.Below(14);
    const int64_t one_shot = UnitsToKeep(asked, original, original);
    // Somebody else removed some before, of which the model knows more than the schedule.
    const int64_t older = original + (trial % 2) * random.Below(2000);
    CAPTURE(trial, original, older, asked.amount, asked.multiple, rounds);
    int64_t units = original;
    for (int64_t round = 1; round <= rounds; ++round) {
      UnitAmount now = asked;
      now.from = static_cast<double>(round - 1) / static_cast<double>(rounds);
      now.to = static_cast<double>(round) / static_cast<double>(rounds);
      const int64_t left = UnitsToKeep(now, units, older);
      REQUIRE(left <= units);
      REQUIRE(left >= 1);
      if (older == original) {
        now.from = 0;
        REQUIRE(left == UnitsToKeep(now, original, original));
      }
      units = left;
    }
    if (older == original) {
      REQUIRE(units == one_shot);
    } else if (asked.multiple == 1) {
      worst = std::max(worst, static_cast<double>(std::abs(units - one_shot)));
    }
  }
  std::printf("schedules on what was pruned before: at most %g units from one shot\n", worst);
  CHECK(worst <= 6);
}

TEST_CASE("ten rounds of five percent are half, round by round") {
  int64_t units = 13824;
  std::vector<int64_t> left;
  for (int round = 1; round <= 10; ++round) {
    UnitAmount now;
    now.amount = 0.5;
    now.multiple = 256;
    now.from = (round - 1) / 10.0;
    now.to = round / 10.0;
    units = UnitsToKeep(now, units, 13824);
    left.push_back(units / 256);
  }
  // Of 54 tiles 51.3, 48.6, 45.9, ... rounded up.
  CHECK(left == std::vector<int64_t>{52, 49, 46, 44, 41, 38, 36, 33, 30, 27});
}

TEST_CASE("globally the cheapest units of a family go, measured by the mean of their group") {
  UnitAmount asked;
  asked.amount = 0.5;
  // The second group is dearer by a factor, which says nothing.
  const std::vector<ScoredUnits> groups{{"a", Cost({1, 2, 3, 10}), 4},
                                        {"a", Cost({1000, 1100, 900, 1000}), 4},
                                        {"b", Cost({1, 1, 1, 5}), 4}};
  const std::vector<at::Tensor> kept = ChooseUnits(groups, asked, /*global=*/true);
  CHECK(Units(kept[0]) == std::vector<int64_t>{3});
  CHECK(Units(kept[1]) == std::vector<int64_t>{0, 1, 3});
  CHECK(Units(kept[2]) == std::vector<int64_t>{0, 3});
  const std::vector<at::Tensor> local = ChooseUnits(groups, asked, /*global=*/false);
  CHECK(Units(local[0]) == std::vector<int64_t>{2, 3});
  CHECK(Units(local[1]) == std::vector<int64_t>{0, 1});
}

TEST_CASE("global choices: counts, multiples and floors of random groups") {
  Random random(11);
  for (int trial = 0; trial < 400; ++trial) {
    UnitAmount asked;
    asked.multiple = 1 + random.Below(5);
    asked.amount = random.Uniform() * 0.98;
    std::vector<ScoredUnits> groups;
    std::vector<at::Tensor> norms;
    int64_t units = 0;
    const int64_t count = 1 + random.Below(5);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t size = asked.multiple * (1 + random.Below(12));
      std::vector<double> cost(static_cast<size_t>(size));
      for (double& c : cost) c = std::exp(3 * random.Uniform());
      groups.push_back({"family", Cost(cost), size});
      norms.push_back(groups.back().cost / groups.back().cost.mean());
      units += size;
    }
    CAPTURE(trial, asked.multiple, asked.amount, units);
    const std::vector<at::Tensor> kept = ChooseUnits(groups, asked, /*global=*/true);
    int64_t left = 0, floors = 0;
    double dearest_gone = 0, cheapest_kept = 1e30;
    for (size_t i = 0; i < groups.size(); ++i) {
      const int64_t stays = kept[i].numel(), size = norms[i].numel();
      left += stays;
      floors += asked.multiple;
      REQUIRE(stays >= asked.multiple);
      REQUIRE(stays % asked.multiple == 0);
      const at::Tensor sorted = std::get<0>(norms[i].sort());
      // Within a group the cheapest go.
      REQUIRE(std::get<0>(norms[i].index_select(0, kept[i]).sort())
                  .equal(sorted.narrow(0, size - stays, stays)));
      if (stays < size) {
        const at::Tensor last = sorted.narrow(0, size - stays - asked.multiple, asked.multiple);
        dearest_gone = std::max(dearest_gone, last.mean().item<double>());
      }
      if (stays > asked.multiple) {
        const at::Tensor next = sorted.narrow(0, size - stays, asked.multiple);
        cheapest_kept = std::min(cheapest_kept, next.mean().item<double>());
      }
    }
    REQUIRE(dearest_gone <= cheapest_kept * (1 + 1e-9));
    const auto wanted =
        units - static_cast<int64_t>(std::nearbyint(asked.amount * static_cast<double>(units)));
    REQUIRE(left >= wanted);
    if (left - wanted >= asked.multiple) REQUIRE(left == floors);
  }
}

}  // namespace
}  // namespace wanlite
