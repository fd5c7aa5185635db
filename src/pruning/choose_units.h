// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which units of axis groups stay, given what it costs to remove each.
#ifndef WANLITE_SRC_PRUNING_CHOOSE_UNITS_H_
#define WANLITE_SRC_PRUNING_CHOOSE_UNITS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wanlite {

// How many units of a group go.
struct UnitAmount {
  double amount = 0;            // fraction of them, in [0, 1), or
  std::optional<int64_t> keep;  // how many stay
  int64_t multiple = 1;         // kept counts are rounded up to multiples of it
  // Of a round of a schedule: what part of that is done before it, and when it is over.
  double from = 0, to = 1;
};

// Units that a group of `units` keeps, one at least. original: how many it had before any were
// removed. A schedule ends at what is kept in one go, whatever its rounds: each counts from the
// original, as long as what is left is what the rounds before leave of that; else from what `units`
// would be the rest of. Never more than `units`, even if that is no multiple.
int64_t UnitsToKeep(const UnitAmount& amount, int64_t units, int64_t original);

// The same without that bound, for a group that nothing was removed of yet and the schedule's end:
// more than `units` where these are no multiple.
int64_t RoundedUnits(const UnitAmount& amount, int64_t units);

// The `count` units that cost most, ascending; of equal ones the first. cost: fp64 [units], without
// NaN. Result: int64 [count].
at::Tensor MostCostly(const at::Tensor& cost, int64_t count);

struct ScoredUnits {
  std::string family;  // groups of one family compete for what is removed, when `global`
  at::Tensor cost;     // fp64 [units]
  int64_t original = 0;
};

// Kept units of each group, int64 [kept], ascending.
//
// Not global: each group keeps its UnitsToKeep(). Global: as many units of each family are removed
// as UnitsToKeep() says of all its units together, or up to `multiple` units less, the cheapest
// first, each cost divided by the mean of its group; a group keeps `multiple` of them at least, and
// multiples of it where it was one.
std::vector<at::Tensor> ChooseUnits(const std::vector<ScoredUnits>& groups,
                                    const UnitAmount& amount, bool global);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_CHOOSE_UNITS_H_
