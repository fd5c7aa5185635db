// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_PRUNING_MASK_UNITS_H_
#define WANLITE_SRC_PRUNING_MASK_UNITS_H_

#include <cstdint>
#include <vector>

#include "src/search/network_trials.h"
#include "wanlite/topology.h"

namespace wanlite {

struct UnitMask {
  AxisGroup group;
  std::vector<int64_t> removed;  // units
};

// A trial of a leased block without these units, which computes what the block with them removed
// does (where AxisGroup::exact()): columns of the layers that read them are zero, and where a norm
// reduces over the units so are the rows that make them, so that they do not count in it. Groups
// must not share layers, whose weights must be dense: InvalidArgument.
Trial::Edit MaskUnits(std::vector<UnitMask> masks);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_MASK_UNITS_H_
