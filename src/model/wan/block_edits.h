// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A StructureEdit of a network that is a list of blocks, as its config tells their sizes.
#ifndef WANLITE_SRC_MODEL_WAN_BLOCK_EDITS_H_
#define WANLITE_SRC_MODEL_WAN_BLOCK_EDITS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"

namespace wanlite::wan {

// sizes: by group name inside a block ("ffn.channels"), one value for each block. Sets those that
// the edit names ("blocks.3.ffn.channels"), takes out those of dropped blocks, and lowers
// num_layers. others: groups outside the blocks, by name. InvalidArgument for what is neither.
absl::Status EditBlockSizes(const StructureEdit& edit, int64_t* num_layers,
                            const std::map<std::string, std::vector<int64_t>*>& sizes,
                            const std::map<std::string, int64_t*>& others = {});

// One value per block, of a config that lists them only where they differ.
void ExpandPerBlock(std::vector<int64_t>& values, int64_t common, int64_t num_layers);
// The largest of the per-block values, or the common one, rounded up to `multiple`.
int64_t PaddedSize(const std::vector<int64_t>& values, int64_t common, int64_t multiple);
// The way back: keeps the per-block values only where one differs from the common one.
void DropIfUniform(std::vector<int64_t>& values, int64_t common);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_BLOCK_EDITS_H_
