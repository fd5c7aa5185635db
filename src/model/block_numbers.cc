// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/block_numbers.h"

#include "absl/strings/str_cat.h"

namespace wanlite {

BlockNumbers::BlockNumbers(const ModelView& model) : model_(model) {
  for (const BlockInfo& block : model.blocks()) {
    // A component's rest is listed too, before its blocks.
    const std::string& component = model.ComponentOf(block.path).name;
    const auto [it, is_rest] = counts_.try_emplace(component, 0);
    numbers_[block.path] = is_rest ? -1 : it->second++;
  }
}

int64_t BlockNumbers::NumberOf(absl::string_view block) const {
  return numbers_.find(block)->second;
}

int64_t BlockNumbers::CountOf(const Component& component) const {
  return counts_.find(component.name)->second;
}

bool BlockNumbers::InRange(const LinearFilter::Blocks& range, absl::string_view block) const {
  const int64_t number = NumberOf(block), count = CountOf(model_.ComponentOf(block));
  const auto from_start = [&](int64_t n) { return n < 0 ? n + count : n; };
  return number >= 0 && number >= from_start(range.from) &&
         number < (range.to.has_value() ? from_start(*range.to) : count);
}

bool BlockNumbers::IsOuter(absl::string_view block) const {
  const int64_t number = NumberOf(block), count = CountOf(model_.ComponentOf(block));
  return number >= 0 && (number < kOuterBlocks || number >= count - kOuterBlocks);
}

std::string RangeText(const LinearFilter::Blocks& range) {
  return absl::StrCat("from: ", range.from,
                      range.to.has_value() ? absl::StrCat(" to: ", *range.to) : "");
}

std::string ComponentText(const Component& component) {
  return component.name.empty() ? "the model" : component.name;
}

}  // namespace wanlite
