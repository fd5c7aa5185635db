// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/choose_units.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "src/core/libtorch.h"
#include "src/pruning/magnitude.h"

namespace wanlite {
namespace {

int64_t RoundUp(int64_t count, int64_t multiple) {
  return (std::max<int64_t>(count, 1) + multiple - 1) / multiple * multiple;
}

// Before rounding to multiples, `way` of the way from `units`.
int64_t KeptOf(const UnitAmount& amount, int64_t units, double way) {
  if (!amount.keep.has_value()) return units - CountToPrune(amount.amount * way, units);
  return units - CountToPrune(way, std::max<int64_t>(units - *amount.keep, 0));
}

// What `units` is the rest of when `way` of the way is gone.
int64_t StartOf(const UnitAmount& amount, int64_t units, double way) {
  const auto count = static_cast<double>(units);
  const double start = amount.keep.has_value() ? (count - way * static_cast<double>(*amount.keep)) /
                                                     std::max(1 - way, 1e-9)
                                               : count / (1 - amount.amount * way);
  return std::max(units, static_cast<int64_t>(std::nearbyint(start)));
}

// Of all groups of a family, which may be `slack` units away from what its rounds were to leave.
int64_t FamilyToKeep(const UnitAmount& amount, int64_t units, int64_t original, int64_t slack) {
  int64_t start = units;
  if (amount.from > 0) {
    start = std::abs(KeptOf(amount, original, amount.from) - units) <= slack
                ? original
                : StartOf(amount, units, amount.from);
  }
  return std::min(units, KeptOf(amount, start, amount.to));
}

// Some of a group's units, which go together.
struct Chunk {
  double cost = 0;  // mean of its units'
  size_t group = 0;
  int64_t units = 0;
};

// In the order in which they go. Of each group all but `multiple` units.
std::vector<Chunk> ChunksOf(const at::Tensor& cost, size_t group, int64_t multiple) {
  const at::Tensor sorted = std::get<0>(cost.sort());
  const double mean = cost.mean().item<double>();
  const at::Tensor sums = at::cumsum(mean > 0 ? sorted / mean : sorted, 0).contiguous();
  const double* sum = sums.const_data_ptr<double>();
  const int64_t units = cost.numel();
  std::vector<Chunk> chunks;
  // The first leaves a multiple.
  for (int64_t begin = 0; begin < units - multiple;) {
    const int64_t size = begin == 0 && units % multiple != 0 ? units % multiple : multiple;
    const double total = sum[begin + size - 1] - (begin == 0 ? 0 : sum[begin - 1]);
    // Ascending to the last bit, so that sorting keeps their order.
    chunks.push_back(
        {std::max(total / static_cast<double>(size), chunks.empty() ? 0 : chunks.back().cost),
         group, size});
    begin += size;
  }
  return chunks;
}

}  // namespace

int64_t UnitsToKeep(const UnitAmount& amount, int64_t units, int64_t original) {
  const auto rounded = [&](int64_t start, double way) {
    return std::min(start, RoundUp(KeptOf(amount, start, way), amount.multiple));
  };
  int64_t start = units;
  if (amount.from > 0) {
    start =
        rounded(original, amount.from) == units ? original : StartOf(amount, units, amount.from);
  }
  return std::min(units, rounded(start, amount.to));
}

int64_t RoundedUnits(const UnitAmount& amount, int64_t units) {
  return RoundUp(KeptOf(amount, units, 1), amount.multiple);
}

at::Tensor MostCostly(const at::Tensor& cost, int64_t count) {
  const at::Tensor order = std::get<1>(cost.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true));
  return std::get<0>(order.narrow(0, 0, count).sort());
}

std::vector<at::Tensor> ChooseUnits(const std::vector<ScoredUnits>& groups,
                                    const UnitAmount& amount, bool global) {
  std::vector<int64_t> counts;
  for (const ScoredUnits& group : groups) {
    counts.push_back(global ? group.cost.numel()
                            : UnitsToKeep(amount, group.cost.numel(), group.original));
  }
  if (global) {
    std::map<std::string, std::vector<size_t>> families;
    for (size_t i = 0; i < groups.size(); ++i) families[groups[i].family].push_back(i);
    for (const auto& [name, members] : families) {
      int64_t units = 0, original = 0;
      std::vector<Chunk> chunks;
      for (const size_t i : members) {
        units += groups[i].cost.numel();
        original += groups[i].original;
        for (Chunk& chunk : ChunksOf(groups[i].cost, i, amount.multiple)) chunks.push_back(chunk);
      }
      const int64_t slack = amount.multiple - 1;
      int64_t to_go = units - FamilyToKeep(amount, units, original, slack);
      // Those of one group are in order already.
      std::stable_sort(chunks.begin(), chunks.end(),
                       [](const Chunk& a, const Chunk& b) { return a.cost < b.cost; });
      for (const Chunk& chunk : chunks) {
        if (chunk.units > to_go) break;
        to_go -= chunk.units;
        counts[chunk.group] -= chunk.units;
      }
    }
  }
  std::vector<at::Tensor> kept;
  for (size_t i = 0; i < groups.size(); ++i) kept.push_back(MostCostly(groups[i].cost, counts[i]));
  return kept;
}

}  // namespace wanlite
