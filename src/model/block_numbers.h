// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Blocks of a component counted from 0, for options that choose by number ("blocks { from: 1 }",
// "skip: OUTER_BLOCKS").
#ifndef WANLITE_SRC_MODEL_BLOCK_NUMBERS_H_
#define WANLITE_SRC_MODEL_BLOCK_NUMBERS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"
#include "wanlite/select_linears.h"

namespace wanlite {

// As skip: OUTER_BLOCKS has it: what most published recipes keep at either end.
inline constexpr int64_t kOuterBlocks = 3;

// The model outlives it and keeps its blocks.
class BlockNumbers {
 public:
  explicit BlockNumbers(const ModelView& model);
  // Where a block stands among those of its component; -1 for a component's rest. block: of
  // model.blocks().
  int64_t NumberOf(absl::string_view block) const;
  int64_t CountOf(const Component& component) const;
  // Never of a component's rest.
  bool InRange(const LinearFilter::Blocks& range, absl::string_view block) const;
  bool IsOuter(absl::string_view block) const;

 private:
  const ModelView& model_;
  std::map<std::string, int64_t, std::less<>> counts_, numbers_;
};

// "from: 1 to: -2"
std::string RangeText(const LinearFilter::Blocks& range);
// The component's name, or "the model" for one without.
std::string ComponentText(const Component& component);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_BLOCK_NUMBERS_H_
