// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass drop-blocks: whole blocks go, those that are missed least.
#ifndef WANLITE_SRC_PRUNING_DROP_BLOCKS_H_
#define WANLITE_SRC_PRUNING_DROP_BLOCKS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class DropBlocksOptions;

// InvalidArgument unless exactly one of amount, count and blocks is given, for values outside their
// ranges, and for options that the score has no use for. What fits no model is an error of Plan().
//
// Streams: blocks that are left keep their files' values and formats, quantized ones too; with
// `average` they must be dense, and of one shape. Scores from recorded inputs hold one block and
// what flows between blocks in a few trials; LEARNED holds a component in fp32. In a repeat each
// round goes up to its share of the way.
//
// Lineage metrics: dropped_blocks; of scores from recorded inputs error_found and
// error_random_best, errors of the path that recorded passes make, sums over components.
absl::StatusOr<std::unique_ptr<Pass>> MakeDropBlocks(const DropBlocksOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_DROP_BLOCKS_H_
