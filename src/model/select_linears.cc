// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/select_linears.h"

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/glob.h"
#include "src/model/block_numbers.h"
#include "src/proto/select.pb.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Takes the outer blocks' layers out of the selection.
absl::Status SkipOuterBlocks(const ModelView& model, const BlockNumbers& numbers,
                             absl::string_view field, LinearSelection& selection) {
  const auto is_outer = [&](const LinearInfo& linear) { return numbers.IsOuter(linear.block); };
  std::map<std::string, int64_t> left;  // layers in blocks, by component
  for (const LinearInfo& linear : selection.linears) {
    if (numbers.NumberOf(linear.block) < 0) continue;
    left[model.ComponentOf(linear.path).name] += is_outer(linear) ? 0 : 1;
  }
  for (const Component& component : model.components()) {
    const auto found = left.find(component.name);
    if (found == left.end()) continue;
    const int64_t count = numbers.CountOf(component);
    if (found->second == 0) {
      return OptionError(absl::StrCat(field, ".skip"),
                         absl::StrCat("OUTER_BLOCKS leaves nothing of ", ComponentText(component),
                                      ", which has ", count, " blocks: the first ", kOuterBlocks,
                                      " and the last ", kOuterBlocks, " are skipped"));
    }
    selection.notes.push_back(
        absl::StrCat("blocks 0-", kOuterBlocks - 1, " and ", count - kOuterBlocks, "-", count - 1,
                     " of ", ComponentText(component), " are left alone (skip: OUTER_BLOCKS)"));
  }
  selection.linears.erase(
      std::remove_if(selection.linears.begin(), selection.linears.end(), is_outer),
      selection.linears.end());
  return absl::OkStatus();
}

std::string EmbeddingsText(const ModelView& model) {
  if (model.embeddings().empty()) return "the model has none";
  return absl::StrCat("the model has ",
                      absl::StrJoin(model.embeddings(), ", ",
                                    [](std::string* out, const auto& e) { out->append(e.path); }));
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
  filter.skip_outer_blocks = selector.skip() == LinearSelector::OUTER_BLOCKS;
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
  const std::vector<LinearInfo> all = filter.embeddings ? model.weights() : model.linears();
  const BlockNumbers numbers(model);
  const std::string example =
      all.empty() ? "it has none" : absl::StrCat("its linears are named like ", all[0].path);
  const auto path_of = [](const LinearInfo& linear) { return linear.path; };
  const auto kind_of = [](const LinearInfo& linear) { return linear.kind; };
  const auto component_of = [&](const LinearInfo& linear) {
    return model.ComponentOf(linear.path).name;
  };
  const auto check = [&](absl::string_view name, const std::vector<std::string>& patterns,
                         const auto& text_of, absl::string_view what) -> absl::Status {
    for (size_t i = 0; i < patterns.size(); ++i) {
      const bool fits = std::any_of(all.begin(), all.end(), [&](const LinearInfo& linear) {
        return GlobMatch(patterns[i], text_of(linear));
      });
      if (fits) continue;
      return OptionError(absl::StrCat(field, ".", name, "[", i, "]"),
                         absl::StrCat("the pattern \"", patterns[i], "\" fits no ", what,
                                      " of the model; ", example));
    }
    return absl::OkStatus();
  };
  WANLITE_RETURN_IF_ERROR(check("include", filter.include, path_of, "linear layer"));
  // What was to be left alone and is called otherwise would be changed without a word.
  WANLITE_RETURN_IF_ERROR(check("exclude", filter.exclude, path_of, "linear layer"));
  WANLITE_RETURN_IF_ERROR(check("kinds", filter.kinds, kind_of, "kind of linear layer"));
  WANLITE_RETURN_IF_ERROR(
      check("components", filter.components, component_of, "component with linear layers"));
  const auto in_range = [&](const LinearFilter::Blocks& range, const LinearInfo& linear) {
    return numbers.InRange(range, linear.block);
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

  const std::vector<LinearInfo>& linears = model.linears();
  const auto wanted = [&](const LinearInfo& linear, bool embedding) {
    if (!filter.include.empty()) {
      if (!AnyGlobMatches(filter.include, linear.path)) return false;
    } else if ((linear.sensitive && !embedding) ||
               (filter.components.empty() &&
                model.ComponentOf(linear.path).role != ComponentRole::kDenoiser)) {
      return false;
    }
    return (filter.components.empty() || AnyGlobMatches(filter.components, component_of(linear))) &&
           (filter.kinds.empty() || AnyGlobMatches(filter.kinds, linear.kind)) &&
           (filter.blocks.empty() || embedding ||
            std::any_of(filter.blocks.begin(), filter.blocks.end(),
                        [&](const auto& range) { return in_range(range, linear); })) &&
           !AnyGlobMatches(filter.exclude, linear.path);
  };
  LinearSelection selection;
  std::copy_if(linears.begin(), linears.end(), std::back_inserter(selection.linears),
               [&](const LinearInfo& linear) { return wanted(linear, /*embedding=*/false); });
  if (filter.skip_outer_blocks) {
    WANLITE_RETURN_IF_ERROR(SkipOuterBlocks(model, numbers, field, selection));
  }
  if (filter.embeddings) {
    const size_t before = selection.linears.size();
    std::copy_if(model.embeddings().begin(), model.embeddings().end(),
                 std::back_inserter(selection.linears),
                 [&](const LinearInfo& table) { return wanted(table, /*embedding=*/true); });
    if (selection.linears.size() == before) {
      return OptionError("embeddings", absl::StrCat("no token embedding fits what ", field,
                                                    " asks for; ", EmbeddingsText(model)));
    }
  }
  if (selection.linears.empty()) {
    const bool by_default = filter.include.empty() && filter.components.empty() &&
                            filter.kinds.empty() && filter.blocks.empty();
    return absl::InvalidArgumentError(absl::StrCat(
        "no linear layer is selected: ",
        by_default ? "the model has no denoiser with linears that are not sensitive and not "
                     "excluded; name layers with include"
                   : absl::StrCat("none fits all that ", field, " asks for"),
        "; ", example));
  }
  return selection;
}

bool TouchesSelection(const ModelView& model, const LinearFilter& filter, absl::string_view block) {
  const absl::StatusOr<LinearSelection> selection = SelectLinears(model, filter);
  return !selection.ok() || !selection->InBlock(block).empty();
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
