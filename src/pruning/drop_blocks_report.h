// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What drop-blocks has found in one network, told to people.
#ifndef WANLITE_SRC_PRUNING_DROP_BLOCKS_REPORT_H_
#define WANLITE_SRC_PRUNING_DROP_BLOCKS_REPORT_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "src/proto/pruning.pb.h"
#include "src/pruning/block_scores.h"
#include "src/pruning/learned_depth.h"
#include "src/pruning/select_blocks.h"

namespace wanlite {

struct DroppedBlocks {
  ComponentBlocks blocks;
  int64_t count = 0;  // that go
  DropBlocksOptions::Score by = DropBlocksOptions::INFLUENCE;
  bool worst_counts = false;            // the score at the worst timestep decides
  std::vector<int64_t> passes = {};     // numbers of the samples that scored
  std::vector<BlockScore> scores = {};  // of blocks.removable; none of LEARNED
  std::vector<std::string> order = {};  // OUTPUT_ERROR_GREEDY: as they went
  std::vector<DepthGroup> groups = {};  // LEARNED
  LearnedDepth learned = {};
  std::set<std::string> dropped = {};
  // What was measured whole, the found one first, and the errors; none of scores of weights alone.
  std::vector<BlockChoice> choices = {};
  std::vector<OutputError> errors = {};
};

std::vector<std::string> ExplainDroppedBlocks(const DroppedBlocks& found);
void SetDroppedBlocksMetrics(const DroppedBlocks& found, std::map<std::string, double>& metrics);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_DROP_BLOCKS_REPORT_H_
