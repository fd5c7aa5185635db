// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/average_blocks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Where a tensor of one block is in another.
std::string SameIn(const std::string& other, const std::string& block, const std::string& tensor) {
  return absl::StrCat(other, tensor.substr(block.size()));
}

}  // namespace

std::vector<AveragedBlock> AveragedBlocks(const ComponentBlocks& blocks,
                                          const std::set<std::string>& dropped) {
  std::vector<AveragedBlock> averaged;
  std::vector<std::string> first;  // that go before any that is left
  for (const std::string& block : blocks.all) {
    if (!dropped.contains(block)) {
      averaged.push_back({block, std::exchange(first, {})});
    } else if (averaged.empty()) {
      first.push_back(block);
    } else {
      averaged.back().with.push_back(block);
    }
  }
  std::erase_if(averaged, [](const AveragedBlock& one) { return one.with.empty(); });
  return averaged;
}

absl::Status CheckCanAverage(const ModelView& model, const ComponentBlocks& blocks,
                             const std::set<std::string>& may_go) {
  for (size_t i = 0; i + 1 < blocks.all.size(); ++i) {
    const std::string& before = blocks.all[i];
    const std::string& after = blocks.all[i + 1];
    // A block goes into what stands before it, or, at the start, into what stands behind it.
    const bool from_start =
        std::all_of(blocks.all.begin(), blocks.all.begin() + static_cast<int64_t>(i) + 1,
                    [&](const std::string& block) { return may_go.contains(block); });
    if (!may_go.contains(after) && !from_start) continue;
    const absl::Status same = CheckSameShapes(model, before, after, /*dense=*/true);
    if (same.ok()) continue;
    return OptionError("average", absl::StrCat("there is no mean of ", before, " and ", after, ": ",
                                               same.message()));
  }
  return absl::OkStatus();
}

absl::Status AverageBlocks(ModelView& model, const std::string& component,
                           const std::vector<AveragedBlock>& averaged) {
  std::vector<DerivedTensor> tensors;
  for (const AveragedBlock& one : averaged) {
    for (const NamedTensor& named : model.BlockTensors(one.block)) {
      DerivedTensor mean;
      mean.name = PathBelow(component, named.name);
      mean.add = true;
      mean.pieces.push_back({mean.name});
      for (const std::string& other : one.with) {
        mean.pieces.push_back({PathBelow(component, SameIn(other, one.block, named.name))});
      }
      for (TensorPiece& piece : mean.pieces) {
        piece.scale = 1 / static_cast<double>(mean.pieces.size());
      }
      tensors.push_back(std::move(mean));
    }
  }
  if (tensors.empty()) return absl::OkStatus();
  return model.Rebuild(component, {}, tensors);
}

Trial::Edit AverageOf(const AveragedBlock& averaged) {
  return [averaged](ModelView& model, const BlockLease& block) -> absl::StatusOr<Trial::Undo> {
    const at::NoGradGuard no_grad;
    std::vector<std::pair<at::Tensor, at::Tensor>> tensors;  // live, and what it becomes
    for (const NamedTensor& named : block.State()) {
      tensors.emplace_back(named.tensor, named.tensor.detach().clone());
    }
    for (const std::string& other : averaged.with) {
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(other));
      size_t i = 0;
      for (const NamedTensor& named : block.State()) {
        WANLITE_ASSIGN_OR_RETURN(const at::Tensor its,
                                 model.FindTensor(SameIn(other, averaged.block, named.name)));
        tensors[i++].second.add_(its.detach());
      }
    }
    for (auto& [live, value] : tensors) {
      value.div_(static_cast<double>(averaged.with.size() + 1));
      at::Tensor before = live.detach();
      live.set_data(value);
      value = std::move(before);
    }
    return Trial::Undo([tensors = std::move(tensors)]() -> absl::Status {
      const at::NoGradGuard no_grad;
      for (const auto& [live, value] : tensors) live.set_data(value);
      return absl::OkStatus();
    });
  };
}

}  // namespace wanlite
