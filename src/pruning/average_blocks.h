// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Blocks that start as the mean of themselves and of the blocks that they replace (Amber-Image).
#ifndef WANLITE_SRC_PRUNING_AVERAGE_BLOCKS_H_
#define WANLITE_SRC_PRUNING_AVERAGE_BLOCKS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/pruning/select_blocks.h"
#include "src/search/network_trials.h"
#include "wanlite/model_view.h"

namespace wanlite {

struct AveragedBlock {
  std::string block;              // that is left
  std::vector<std::string> with;  // that go, in forward order
};

// The block before each gap, or the one behind a gap at the start. dropped: some of blocks.all, not
// all of them.
std::vector<AveragedBlock> AveragedBlocks(const ComponentBlocks& blocks,
                                          const std::set<std::string>& dropped);

// OK when whatever is dropped of the removable blocks can be averaged: dense, and of one shape with
// its neighbours. Of shapes alone.
absl::Status CheckCanAverage(const ModelView& model, const ComponentBlocks& blocks,
                             const std::set<std::string>& may_go);

// Gives the blocks their means; of a streaming view by each lease. Before the others are dropped.
absl::Status AverageBlocks(ModelView& model, const std::string& component,
                           const std::vector<AveragedBlock>& averaged);

// The same for a trial.
Trial::Edit AverageOf(const AveragedBlock& averaged);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_AVERAGE_BLOCKS_H_
