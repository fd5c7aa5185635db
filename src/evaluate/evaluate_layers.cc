// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/evaluate_layers.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/proto/manifest.pb.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

absl::StatusOr<LayerReport> ReportLayer(const LinearInfo& linear, const LinearWeight& weight,
                                        const LinearWeight* original) {
  return CatchTorch([&] {
    LayerReport report;
    report.path = linear.path;
    report.format = FormatText(weight);
    report.out_features = weight.out_features();
    report.in_features = weight.in_features();
    report.bytes = weight.bytes();
    report.nonzero = weight.NonZero();
    if (original == nullptr) return report;
    if (original->out_features() != weight.out_features() ||
        original->in_features() != weight.in_features()) {
      report.relative_error = std::numeric_limits<double>::quiet_NaN();
      return report;
    }
    const at::Tensor wanted = original->Dequantize();
    const double size = wanted.norm().item<double>();
    const double error = (weight.Dequantize() - wanted).norm().item<double>();
    report.relative_error = size > 0 ? error / size : (error > 0 ? INFINITY : 0);
    return report;
  });
}

int64_t CountBlocks(const ModelView& view, const std::string& component) {
  return std::count_if(view.blocks().begin(), view.blocks().end(), [&](const BlockInfo& block) {
    return view.ComponentOf(block.path).name == component;
  });
}

// The layer of the original that a layer of a block is compared with. A component's rest has the
// same names in both.
std::string OriginalPath(const std::string& linear, const std::string& block,
                         const std::string& original_block) {
  if (block == original_block) return linear;
  return absl::StrCat(original_block, linear.substr(block.size()));
}

}  // namespace

absl::StatusOr<std::vector<LayerReport>> ReportLayers(const ModelFolder& folder,
                                                      const ModelFolder* original,
                                                      const CancellationToken* cancel) {
  const at::NoGradGuard no_grad;
  WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
  std::optional<ModelView> other;
  if (original != nullptr) {
    WANLITE_ASSIGN_OR_RETURN(other, original->BuildView());
  }
  // Blocks are compared by what they were before any were dropped. A model that lost blocks
  // elsewhere does not say which.
  for (const Component& component : view.components()) {
    if (!other.has_value()) break;
    const Component* wanted_component = other->FindComponent(component.name);
    if (wanted_component == nullptr || !component.block_origin.empty() ||
        !wanted_component->block_origin.empty()) {
      continue;
    }
    const int64_t found = CountBlocks(view, component.name);
    const int64_t wanted = CountBlocks(*other, component.name);
    if (found == wanted) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "the layers of ", component.name, " cannot be compared: '", folder.dir(), "' has ", found,
        " blocks, the original '", original->dir(), "' has ", wanted));
  }
  std::map<std::string, std::string> other_of;  // block of the original by its own origin
  if (other.has_value()) {
    for (const BlockInfo& block : other->blocks()) other_of[block.origin] = block.path;
  }
  std::map<std::string, LayerReport> by_path;
  for (const BlockInfo& block : view.blocks()) {
    if (cancel != nullptr) WANLITE_RETURN_IF_ERROR(cancel->Check());
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, view.Lease(block.path));
    std::optional<BlockLease> other_lease;
    const auto other_block = other_of.find(block.origin);
    if (other_block != other_of.end()) {
      WANLITE_ASSIGN_OR_RETURN(BlockLease found, other->Lease(other_block->second));
      other_lease.emplace(std::move(found));
    }
    for (const LinearInfo& linear : view.linears()) {
      if (linear.block != block.path) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, view.Weight(linear.path));
      const LinearWeight* wanted = nullptr;
      if (other_lease.has_value()) {
        const absl::StatusOr<const LinearWeight*> found =
            other->Weight(OriginalPath(linear.path, block.path, other_block->second));
        if (found.ok()) wanted = *found;
      }
      WANLITE_ASSIGN_OR_RETURN(by_path[linear.path], ReportLayer(linear, *weight, wanted));
      if (original != nullptr && wanted == nullptr) {
        by_path[linear.path].relative_error = std::numeric_limits<double>::quiet_NaN();
      }
    }
  }
  std::vector<LayerReport> layers;
  for (const LinearInfo& linear : view.linears()) {
    const auto found = by_path.find(linear.path);
    if (found != by_path.end()) layers.push_back(std::move(found->second));
  }
  return layers;
}

std::vector<LineageReport> ReportLineage(const ModelFolder& folder) {
  std::vector<LineageReport> lineage;
  if (folder.manifest() == nullptr) return lineage;
  for (const LineageEntry& entry : folder.manifest()->lineage()) {
    LineageReport report{entry.pass(), entry.options_text(), {}};
    // A map of protobuf has no order of its own.
    const std::map<std::string, double> metrics(entry.metrics().begin(), entry.metrics().end());
    report.metrics.assign(metrics.begin(), metrics.end());
    lineage.push_back(std::move(report));
  }
  return lineage;
}

}  // namespace wanlite
