// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/select_units.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/glob.h"
#include "src/model/block_numbers.h"
#include "src/proto/select.pb.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Those of the pass's kinds, in forward order.
std::vector<AxisGroup> GroupsOfKinds(const ModelView& model,
                                     const std::vector<std::string>& kinds) {
  std::map<std::string, size_t> order;
  for (const BlockInfo& block : model.blocks()) order.emplace(block.path, order.size());
  std::vector<AxisGroup> groups;
  std::copy_if(model.groups().begin(), model.groups().end(), std::back_inserter(groups),
               [&](const AxisGroup& group) { return AnyGlobMatches(kinds, group.kind); });
  std::stable_sort(groups.begin(), groups.end(), [&](const AxisGroup& a, const AxisGroup& b) {
    return order.at(a.blocks.front()) < order.at(b.blocks.front());
  });
  return groups;
}

std::string WhatThereIs(const std::vector<AxisGroup>& groups,
                        const std::vector<std::string>& kinds) {
  if (groups.empty()) {
    return absl::StrCat("the model has no group of a kind like ", absl::StrJoin(kinds, ", "));
  }
  return absl::StrCat("its groups are named like ", groups.front().name, " (kind ",
                      groups.front().kind, ")");
}

}  // namespace

bool MayHoldUnits(const Component& component, const UnitSelector& selector) {
  if (!selector.components().empty()) {
    return AnyGlobMatches({selector.components().begin(), selector.components().end()},
                          component.name);
  }
  return !selector.include().empty() || component.role == ComponentRole::kDenoiser;
}

absl::StatusOr<std::vector<AxisGroup>> SelectUnits(const ModelView& model,
                                                   const UnitSelector& selector,
                                                   const UnitScope& scope,
                                                   absl::string_view field) {
  const std::vector<AxisGroup> all = GroupsOfKinds(model, scope.kinds);
  const BlockNumbers numbers(model);
  const auto patterns_of = [](const auto& repeated) {
    return std::vector<std::string>(repeated.begin(), repeated.end());
  };
  const std::vector<std::string> include = patterns_of(selector.include()),
                                 exclude = patterns_of(selector.exclude()),
                                 kinds = patterns_of(selector.kinds()),
                                 components = patterns_of(selector.components());
  const auto name_of = [](const AxisGroup& group) { return group.name; };
  const auto kind_of = [](const AxisGroup& group) { return group.kind; };
  const auto component_of = [&](const AxisGroup& group) {
    return model.ComponentOf(group.blocks.front()).name;
  };
  const auto check = [&](absl::string_view name, const std::vector<std::string>& patterns,
                         const auto& text_of, absl::string_view what) -> absl::Status {
    for (size_t i = 0; i < patterns.size(); ++i) {
      const bool fits = std::any_of(all.begin(), all.end(), [&](const AxisGroup& group) {
        return GlobMatch(patterns[i], text_of(group));
      });
      if (fits) continue;
      return OptionError(absl::StrCat(field, ".", name, "[", i, "]"),
                         absl::StrCat("the pattern \"", patterns[i], "\" fits no ", what,
                                      " that this pass is for; ", WhatThereIs(all, scope.kinds)));
    }
    return absl::OkStatus();
  };
  WANLITE_RETURN_IF_ERROR(check("include", include, name_of, "axis group"));
  // What was to be left alone and is called otherwise would be changed without a word.
  WANLITE_RETURN_IF_ERROR(check("exclude", exclude, name_of, "axis group"));
  WANLITE_RETURN_IF_ERROR(check("kinds", kinds, kind_of, "kind of axis group"));
  WANLITE_RETURN_IF_ERROR(
      check("components", components, component_of, "component with axis groups"));

  // Groups that are in several blocks are in no range.
  std::vector<LinearFilter::Blocks> ranges;
  const auto in_range = [&](const LinearFilter::Blocks& range, const AxisGroup& group) {
    return !group.block.empty() && numbers.InRange(range, group.block);
  };
  for (const BlockRange& range : selector.blocks()) {
    ranges.push_back(
        {range.from(), range.has_to() ? std::optional<int64_t>(range.to()) : std::nullopt});
    const bool any = std::any_of(all.begin(), all.end(), [&](const AxisGroup& group) {
      return in_range(ranges.back(), group);
    });
    if (any) continue;
    return OptionError(absl::StrCat(field, ".blocks[", ranges.size() - 1, "]"),
                       absl::StrCat("there is no block { ", RangeText(ranges.back()),
                                    " } with axis groups of its own that this pass is for; ",
                                    WhatThereIs(all, scope.kinds)));
  }

  const auto wanted = [&](const AxisGroup& group) {
    if (!include.empty()) {
      if (!AnyGlobMatches(include, group.name)) return false;
    } else if (components.empty()) {
      const ComponentRole role = model.ComponentOf(group.blocks.front()).role;
      if (std::find(scope.roles.begin(), scope.roles.end(), role) == scope.roles.end()) {
        return false;
      }
    }
    return (components.empty() || AnyGlobMatches(components, component_of(group))) &&
           (kinds.empty() || AnyGlobMatches(kinds, group.kind)) &&
           (ranges.empty() || std::any_of(ranges.begin(), ranges.end(),
                                          [&](const auto& r) { return in_range(r, group); })) &&
           !AnyGlobMatches(exclude, group.name);
  };
  std::vector<AxisGroup> selected;
  std::copy_if(all.begin(), all.end(), std::back_inserter(selected), wanted);
  if (selected.empty()) {
    std::vector<std::string> roles;
    for (const ComponentRole role : scope.roles) roles.emplace_back(ComponentRoleName(role));
    const bool by_default =
        include.empty() && components.empty() && kinds.empty() && ranges.empty();
    return OptionError(field,
                       absl::StrCat("no axis group is selected: ",
                                    by_default ? absl::StrCat("no component with the role ",
                                                              absl::StrJoin(roles, " or "),
                                                              " has one left; name "
                                                              "others with include or components")
                                               : "none fits all that is asked for",
                                    "; ", WhatThereIs(all, scope.kinds)));
  }
  if (selector.skip() != LinearSelector::OUTER_BLOCKS) return selected;
  const auto is_outer = [&](const AxisGroup& group) {
    return std::any_of(group.blocks.begin(), group.blocks.end(),
                       [&](const std::string& block) { return numbers.IsOuter(block); });
  };
  for (const Component& component : model.components()) {
    int64_t before = 0, left = 0;
    for (const AxisGroup& group : selected) {
      if (component_of(group) != component.name) continue;
      ++before;
      left += is_outer(group) ? 0 : 1;
    }
    if (before == 0 || left > 0) continue;
    return OptionError(
        absl::StrCat(field, ".skip"),
        absl::StrCat("OUTER_BLOCKS leaves nothing of ", ComponentText(component), ", which has ",
                     numbers.CountOf(component), " blocks: the first ", kOuterBlocks,
                     " and the last ", kOuterBlocks, " are skipped, with what reaches into them"));
  }
  std::erase_if(selected, is_outer);
  return selected;
}

}  // namespace wanlite
