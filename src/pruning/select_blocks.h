// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which blocks a pass may remove.
#ifndef WANLITE_SRC_PRUNING_SELECT_BLOCKS_H_
#define WANLITE_SRC_PRUNING_SELECT_BLOCKS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"
#include "wanlite/select_linears.h"

namespace wanlite {

struct ComponentBlocks {
  std::string component;
  std::vector<std::string> all;        // without its rest, in forward order
  std::vector<std::string> removable;  // those of them that may go
};

// What of a model is looked at, as DropBlocksOptions says it.
struct BlockFilter {
  std::vector<std::string> components = {};  // glob patterns; the denoisers without
  std::vector<LinearFilter::Blocks> among = {};
  bool skip_outer_blocks = false;
};

// In the model's order; never empty, and each has a block that may go. InvalidArgument, as
// OptionError(), for a pattern that fits no component with blocks, a range without blocks, and when
// nothing is left of a component.
absl::StatusOr<std::vector<ComponentBlocks>> SelectBlocks(const ModelView& model,
                                                          const BlockFilter& filter);

// A component's name for messages, or "the model".
std::string NetworkText(absl::string_view component);

// The path inside the component: "blocks.3".
std::string PathBelow(absl::string_view component, absl::string_view path);

// OK when two blocks have the same tensors, by path inside the block, in equal shapes and dtypes;
// else InvalidArgument naming the first that differs. `dense`: all their linears must be dense too.
absl::Status CheckSameShapes(const ModelView& model, const std::string& block,
                             const std::string& other, bool dense);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_SELECT_BLOCKS_H_
