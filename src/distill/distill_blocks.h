// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_DISTILL_DISTILL_BLOCKS_H_
#define WANLITE_SRC_DISTILL_DISTILL_BLOCKS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/pass.h"

namespace wanlite {

// The pass distill-blocks: each block is trained to give what its teacher's blocks give, with one
// block of each in memory (src/train/block_training.h).
absl::StatusOr<std::unique_ptr<Pass>> MakeDistillBlocks(const DistillBlocksOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_DISTILL_DISTILL_BLOCKS_H_
