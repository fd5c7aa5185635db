// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which blocks go, chosen together with a short recovery (TinyFusion, arXiv 2412.01199): loss right
// after a cut does not tell what a network can be once it has recovered.
#ifndef WANLITE_SRC_PRUNING_LEARNED_DEPTH_H_
#define WANLITE_SRC_PRUNING_LEARNED_DEPTH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/train.h"

namespace wanlite {

// Neighbouring blocks of which `keep` stay.
struct DepthGroup {
  std::vector<std::string> blocks;  // full paths
  int64_t keep = 0;
};

// Groups of `size` neighbours (the last one what is left), which lose `drop` blocks in all, spread
// evenly. 0 <= drop <= the number of blocks.
std::vector<DepthGroup> DepthGroups(const std::vector<std::string>& blocks, int64_t size,
                                    int64_t drop);

// All choices of `keep` out of `count`, in the order of their members, each a list of ascending
// numbers.
std::vector<std::vector<int64_t>> Subsets(int64_t count, int64_t keep);

struct LearnedDepthOptions {
  train::LoopOptions loop;
  int64_t rank = 16;
  // Of the Gumbel softmax over a group's choices, falling geometrically over the steps.
  double first_temperature = 4, last_temperature = 0.1;
};

struct LearnedDepth {
  // By group: for each of its blocks the probability that it stays, and the probability of the
  // choice that is made.
  std::vector<std::vector<double>> stays;
  std::vector<double> sureness;
  std::vector<std::string> dropped;  // full paths, in forward order
  // Of the network with this choice and the updates trained along, over the samples: the root of
  // its squared distance to the original's output, as a part of that.
  double recovered_error = 0;
};

// Trains, on all of the component's samples, a logit for each choice of each group and low-rank
// updates of the linears in all of `blocks`, so that the network's output is what it was: each step
// draws a choice by Gumbel softmax, straight through (Jang et al., arXiv 1611.01144), and a block
// that is not in it adds nothing. The choice of the largest logit is made, the updates are thrown
// away, and the model is as it was. The whole component is in memory meanwhile, in fp32. Durable in
// context.scratch: killed and called again it ends the same. FailedPrecondition without samples or
// scratch; errors of train::Train().
absl::StatusOr<LearnedDepth> LearnDepth(ModelView& model, const std::string& component,
                                        const std::vector<std::string>& blocks,
                                        const std::vector<DepthGroup>& groups,
                                        const LearnedDepthOptions& options, PassContext& context);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_LEARNED_DEPTH_H_
