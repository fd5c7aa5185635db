// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/select_linears.h"

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "src/core/glob.h"
#include "src/proto/select.pb.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Where a linear's block stands among those of its component; -1 outside all blocks.
class BlockNumbers {
 public:
  explicit BlockNumbers(const ModelView& model) : model_(model) {
    for (const BlockInfo& block : model.blocks()) {
      // A component's rest is listed too, before its blocks.
      const std::string& component = model.ComponentOf(block.path).name;
      const auto [it, is_rest] = counts_.try_emplace(component, 0);
      numbers_[block.path] = is_rest ? -1 : it->second++;
    }
  }
  int64_t NumberOf(const LinearInfo& linear) const { return numbers_.at(linear.block); }
  int64_t CountOf(const LinearInfo& linear) const {
    return counts_.at(model_.ComponentOf(linear.path).name);
  }

 private:
  const ModelView& model_;
  std::map<std::string, int64_t> counts_, numbers_;
};

bool InRange(const LinearFilter::Blocks& range, int64_t number, int64_t count) {
  const auto from_start = [&](int64_t n) { return n < 0 ? n + count : n; };
  return number >= from_start(range.from) &&
         number < (range.to.has_value() ? from_start(*range.to) : count);
}

std::string RangeText(const LinearFilter::Blocks& range) {
  return absl::StrCat("from: ", range.from,
                      range.to.has_value() ? absl::StrCat(" to: ", *range.to) : "");
}

}  // namespace

LinearFilter FilterOf(const LinearSelector& selector) {
  LinearFilter filter;
  filter.include.assign(selector.include().begin(), selector.include().end());
  filter.exclude.assign(selector.exclude().begin(), selector.exclude().end());
  filter.kinds.assign(selector.kinds().begin(), selector.kinds().end());
  filter.components.assign(selector.components().begin(), selector.components().end());
  for (const BlockRange& range : selector.blocks()) {
    filter.blocks.push_back(
        {range.from(), range.has_to() ? std::optional<int64_t>(range.to()) : std::nullopt});
  }
  return filter;
}

std::vector<LinearInfo> LinearSelection::InBlock(absl::string_view block) const {
  std::vector<LinearInfo> found;
  for (const LinearInfo& linear : linears) {
    if (linear.block == block) found.push_back(linear);
  }
  return found;
}

absl::StatusOr<LinearSelection> SelectLinears(const ModelView& model, const LinearFilter& filter,
                                              absl::string_view field) {
  const std::vector<LinearInfo>& all = model.linears();
  const BlockNumbers numbers(model);
  const std::string example =
      all.empty() ? "it has none" : absl::StrCat("its linears are named like ", all[0].path);
  const auto path_of = [](const LinearInfo& linear) { return linear.path; };
  const auto kind_of = [](const LinearInfo& linear) { return linear.kind; };
  const auto component_of = [&](const LinearInfo& linear) {
    return model.ComponentOf(linear.path).name;
  };
  const auto fits_any = [&](const std::string& pattern, const auto& text_of) {
    return std::any_of(all.begin(), all.end(), [&](const LinearInfo& linear) {
      return GlobMatch(pattern, text_of(linear));
    });
  };
  const auto check = [&](absl::string_view name, const std::vector<std::string>& patterns,
                         const auto& text_of, absl::string_view what) -> absl::Status {
    for (size_t i = 0; i < patterns.size(); ++i) {
      if (fits_any(patterns[i], text_of)) continue;
      return OptionError(absl::StrCat(field, ".", name, "[", i, "]"),
                         absl::StrCat("the pattern \"", patterns[i], "\" fits no ", what,
                                      " of the model; ", example));
    }
    return absl::OkStatus();
  };
  WANLITE_RETURN_IF_ERROR(check("include", filter.include, path_of, "linear layer"));
  WANLITE_RETURN_IF_ERROR(check("kinds", filter.kinds, kind_of, "kind of linear layer"));
  WANLITE_RETURN_IF_ERROR(
      check("components", filter.components, component_of, "component with linear layers"));
  const auto in_range = [&](const LinearFilter::Blocks& range, const LinearInfo& linear) {
    const int64_t number = numbers.NumberOf(linear);
    return number >= 0 && InRange(range, number, numbers.CountOf(linear));
  };
  for (size_t i = 0; i < filter.blocks.size(); ++i) {
    const bool any = std::any_of(all.begin(), all.end(), [&](const LinearInfo& linear) {
      return in_range(filter.blocks[i], linear);
    });
    if (any) continue;
    return OptionError(absl::StrCat(field, ".blocks[", i, "]"),
                       absl::StrCat("there is no block { ", RangeText(filter.blocks[i]),
                                    " } with linear layers in the model"));
  }

  LinearSelection selection;
  for (const std::string& pattern : filter.exclude) {
    if (fits_any(pattern, path_of)) continue;
    selection.notes.push_back(
        absl::StrCat("the exclude pattern \"", pattern, "\" fits no linear layer"));
  }
  const auto wanted = [&](const LinearInfo& linear) {
    if (!filter.include.empty()) {
      if (!AnyGlobMatches(filter.include, linear.path)) return false;
    } else if (linear.sensitive ||
               (filter.components.empty() &&
                model.ComponentOf(linear.path).role != ComponentRole::kDenoiser)) {
      return false;
    }
    return (filter.components.empty() || AnyGlobMatches(filter.components, component_of(linear))) &&
           (filter.kinds.empty() || AnyGlobMatches(filter.kinds, linear.kind)) &&
           (filter.blocks.empty() ||
            std::any_of(filter.blocks.begin(), filter.blocks.end(),
                        [&](const auto& range) { return in_range(range, linear); })) &&
           !AnyGlobMatches(filter.exclude, linear.path);
  };
  std::copy_if(all.begin(), all.end(), std::back_inserter(selection.linears), wanted);
  if (selection.linears.empty()) {
    const bool by_default = filter.include.empty() && filter.components.empty() &&
                            filter.kinds.empty() && filter.blocks.empty();
    return absl::InvalidArgumentError(absl::StrCat(
        "no linear layer is selected: ",
        by_default ? "the model has no denoiser with linears that are not sensitive and not "
                     "excluded; name layers with include"
                   : absl::StrCat("none fits all that ", std::string(field), " asks for"),
        "; ", example));
  }
  return selection;
}

absl::StatusOr<const LinearWeight*> DenseWeightOf(const ModelView& model,
                                                  absl::string_view linear) {
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear));
  if (weight->dense() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(linear, ": its weight has the format ", std::string(weight->format()),
                     ", this pass takes dense weights; exclude the layer or run the pass earlier"));
  }
  return weight;
}

int64_t StoredBytes(const std::vector<NamedTensor>& tensors) {
  int64_t bytes = 0;
  for (const NamedTensor& named : tensors) {
    bytes += named.tensor.numel() * static_cast<int64_t>(named.tensor.element_size());
  }
  return bytes;
}

}  // namespace wanlite
