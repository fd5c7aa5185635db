// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/select_blocks.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/glob.h"
#include "src/model/block_numbers.h"
#include "src/model/tensor_text.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// A component's blocks, and which of them the model lets go.
std::vector<ComponentBlocks> BlocksByComponent(const ModelView& model) {
  std::vector<ComponentBlocks> found;
  for (const BlockInfo& block : model.blocks()) {
    const std::string& component = model.ComponentOf(block.path).name;
    const auto at = std::find_if(found.begin(), found.end(), [&](const ComponentBlocks& known) {
      return known.component == component;
    });
    if (at == found.end()) {  // its rest comes first
      found.push_back({component, {}, {}});
      continue;
    }
    at->all.push_back(block.path);
    if (block.removable) at->removable.push_back(block.path);
  }
  std::erase_if(found, [](const ComponentBlocks& blocks) { return blocks.all.empty(); });
  return found;
}

absl::Status CheckPatterns(const std::vector<ComponentBlocks>& all, const BlockFilter& filter) {
  for (size_t i = 0; i < filter.components.size(); ++i) {
    const bool fits = std::any_of(all.begin(), all.end(), [&](const ComponentBlocks& blocks) {
      return GlobMatch(filter.components[i], blocks.component);
    });
    if (fits) continue;
    return OptionError(
        absl::StrCat("components[", i, "]"),
        absl::StrCat("the pattern \"", filter.components[i],
                     "\" fits no network with blocks; there are ",
                     absl::StrJoin(all, ", ", [](std::string* out, const ComponentBlocks& blocks) {
                       out->append(NetworkText(blocks.component));
                     })));
  }
  return absl::OkStatus();
}

std::map<std::string, NamedTensor> TensorsInside(const ModelView& model, const std::string& block) {
  std::map<std::string, NamedTensor> tensors;
  for (const NamedTensor& named : model.BlockTensors(block)) {
    tensors[PathBelow(block, named.name)] = named;
  }
  return tensors;
}

}  // namespace

std::string NetworkText(absl::string_view component) {
  return component.empty() ? "the model" : std::string(component);
}

std::string PathBelow(absl::string_view component, absl::string_view path) {
  if (!component.empty()) absl::ConsumePrefix(&path, absl::StrCat(component, "."));
  return std::string(path);
}

absl::StatusOr<std::vector<ComponentBlocks>> SelectBlocks(const ModelView& model,
                                                          const BlockFilter& filter) {
  const std::vector<ComponentBlocks> all = BlocksByComponent(model);
  const BlockNumbers numbers(model);
  WANLITE_RETURN_IF_ERROR(CheckPatterns(all, filter));
  std::vector<ComponentBlocks> selected;
  std::set<size_t> used;  // ranges that hold a block
  for (ComponentBlocks blocks : all) {
    const ComponentRole role = model.FindComponent(blocks.component)->role;
    if (filter.components.empty() ? role != ComponentRole::kDenoiser
                                  : !AnyGlobMatches(filter.components, blocks.component)) {
      continue;
    }
    const auto count = static_cast<int64_t>(blocks.all.size());
    std::set<std::string> wanted;
    for (const std::string& block : blocks.all) {
      bool inside = filter.among.empty();
      for (size_t range = 0; range < filter.among.size(); ++range) {
        if (!numbers.InRange(filter.among[range], block)) continue;
        inside = true;
        used.insert(range);
      }
      if (inside && !(filter.skip_outer_blocks && numbers.IsOuter(block))) wanted.insert(block);
    }
    if (filter.skip_outer_blocks && count <= 2 * kOuterBlocks) {
      return OptionError(
          "skip", absl::StrCat("OUTER_BLOCKS leaves nothing of ", NetworkText(blocks.component),
                               ", which has ", count, " blocks"));
    }
    std::erase_if(blocks.removable,
                  [&](const std::string& block) { return !wanted.contains(block); });
    selected.push_back(std::move(blocks));
  }
  for (size_t range = 0; range < filter.among.size(); ++range) {
    if (used.contains(range)) continue;
    return OptionError(absl::StrCat("among[", range, "]"),
                       absl::StrCat("there is no block { ", RangeText(filter.among[range]), " }"));
  }
  if (selected.empty()) {
    return OptionError("components",
                       "are not given, and the model has no denoiser with blocks; name a network");
  }
  for (const ComponentBlocks& blocks : selected) {
    if (!blocks.removable.empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("no block of ", NetworkText(blocks.component),
                     filter.among.empty() && !filter.skip_outer_blocks
                         ? " may be removed: what goes into each is not what comes out"
                         : " that may be removed is left by among and skip"));
  }
  return selected;
}

absl::Status CheckSameShapes(const ModelView& model, const std::string& block,
                             const std::string& other, bool dense) {
  for (const LinearInfo& linear : model.linears()) {
    if (!dense || (linear.block != block && linear.block != other)) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    if (weight->dense() != nullptr) continue;
    return absl::InvalidArgumentError(absl::StrCat(linear.path, " has the format ",
                                                   std::string(weight->format()),
                                                   ", of which there is no mean"));
  }
  const auto own = TensorsInside(model, block), its = TensorsInside(model, other);
  for (const auto& [name, tensor] : own) {
    const auto found = its.find(name);
    if (found == its.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(other, " has no ", name, ", as ", block, " has"));
    }
    const at::Tensor& a = tensor.tensor;
    const at::Tensor& b = found->second.tensor;
    if (a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type()) continue;
    return absl::InvalidArgumentError(absl::StrCat(tensor.name, " is ", TensorText(a), " and ",
                                                   found->second.name, " ", TensorText(b)));
  }
  for (const auto& [name, tensor] : its) {
    if (own.contains(name)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(block, " has no ", name, ", as ", other, " has"));
  }
  return absl::OkStatus();
}

}  // namespace wanlite
