// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What Pass::Decide() needs to judge a model by what flows through it: criteria of pruning, ranges,
// allocations. (Passes that change a block by its inputs get an ActivationStream in RunBlock().)
#ifndef WANLITE_VISIT_BLOCKS_H_
#define WANLITE_VISIT_BLOCKS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "wanlite/linear_tap.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/sample_set.h"

namespace wanlite {

struct VisitOptions {
  std::vector<std::string> components = {};  // names; those with samples when empty
  // A component's rest is visited once more, behind its last block, with what goes into its head.
  bool heads = false;
  // Called before each sample runs through a block.
  std::function<void(const SampleInfo& sample)> begin_sample = nullptr;
};

// Runs all of context.samples through the model, block after block, as it is: calls visit(lease)
// for each block, leased, after `tap` has seen what every sample puts into its linear layers. One
// block and one sample are in memory at a time; what flows between blocks lies in context.scratch,
// and is gone at the end. Components without samples are left out, and so is, unless
// options.heads, what runs behind a component's last block. FailedPrecondition without samples or
// scratch; else errors of ActivationStream, of `visit`, and Cancelled.
absl::Status VisitBlocks(ModelView& model, const PassContext& context, LinearTap& tap,
                         const std::function<absl::Status(const BlockLease& block)>& visit,
                         const VisitOptions& options = {});

}  // namespace wanlite

#endif  // WANLITE_VISIT_BLOCKS_H_
