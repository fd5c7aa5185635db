// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which tensors of a model are trained, and in which dtype.
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/model/checked_cast.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"
#include "wanlite/train.h"

namespace wanlite::train {
namespace {

bool IsOf(const ModelView& model, const std::vector<std::string>& components,
          const std::string& path) {
  if (components.empty()) return true;
  const std::string& name = model.ComponentOf(path).name;
  return std::find(components.begin(), components.end(), name) != components.end();
}

}  // namespace

absl::StatusOr<std::vector<TrainedTensor>> TrainableTensors(const ModelView& model,
                                                            const TensorSelector& selector) {
  for (const std::string& name : selector.components) {
    if (model.FindComponent(name) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("the model has no component '", name, "'"));
    }
  }
  std::set<std::string> inner;  // matrices inside the networks
  std::set<std::string> scales;
  for (const LinearInfo& linear : model.linears()) {
    if (!linear.sensitive) inner.insert(absl::StrCat(linear.path, ".weight"));
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    for (const WeightTensor& part : weight->State()) {
      if (part.role == WeightTensor::Role::kScale) {
        scales.insert(absl::StrCat(linear.path, ".", part.name));
      }
    }
  }
  std::vector<TrainedTensor> trained;
  std::vector<bool> fits(selector.include.size());
  for (const NamedTensor& named :
       selector.block.empty() ? model.Tensors() : model.BlockTensors(selector.block)) {
    const at::Tensor& tensor = named.tensor;
    // Layers register what does not train (codes, scales, masks) without gradients.
    if (!tensor.is_floating_point() || !tensor.requires_grad() ||
        !IsOf(model, selector.components, named.name)) {
      continue;
    }
    bool wanted = selector.include.empty();
    for (size_t i = 0; i < fits.size(); ++i) {
      if (!GlobMatch(selector.include[i], named.name)) continue;
      wanted = fits[i] = true;
    }
    if (!wanted || AnyGlobMatches(selector.exclude, named.name)) continue;
    if (nn::IsHollow(tensor)) {
      return absl::FailedPreconditionError(
          absl::StrCat(named.name, " is not in memory: load the model before training it"));
    }
    // A gamma of shape [C, 1, 1, 1] is a vector too.
    const bool vector = tensor.dim() < 2 || tensor.numel() == tensor.size(0);
    const bool muon = selector.muon && tensor.dim() == 2 && tensor.size(0) > 1 &&
                      tensor.size(1) > 1 && inner.contains(named.name);
    const bool scale = scales.contains(named.name);
    trained.push_back({named.name, tensor, scale ? selector.scale_rate : 1,
                       /*decay=*/!vector && !scale, muon ? UpdateRule::kMuon : UpdateRule::kAdamW});
  }
  for (size_t i = 0; i < fits.size(); ++i) {
    if (!fits[i]) {
      return absl::InvalidArgumentError(absl::StrCat("the pattern \"", selector.include[i],
                                                     "\" fits no tensor of the model that trains"));
    }
  }
  if (trained.empty()) return absl::InvalidArgumentError("no tensor of the model is to be trained");
  return trained;
}

absl::StatusOr<MasterWeights> MasterWeights::Of(ModelView& model, absl::string_view component) {
  if (model.FindComponent(component) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the model has no component '", component, "'"));
  }
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& named : model.Tensors()) {
    if (model.ComponentOf(named.name).name == component) tensors.push_back(named);
  }
  return Of(tensors);
}

absl::StatusOr<MasterWeights> MasterWeights::OfBlock(ModelView& model, absl::string_view block) {
  const std::vector<NamedTensor> tensors = model.BlockTensors(block);
  if (tensors.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model has no block '", block, "' with tensors"));
  }
  return Of(tensors);
}

absl::StatusOr<MasterWeights> MasterWeights::Of(const std::vector<NamedTensor>& tensors) {
  MasterWeights masters;
  for (const NamedTensor& named : tensors) {
    const at::ScalarType dtype = named.tensor.scalar_type();
    if ((dtype != at::kBFloat16 && dtype != at::kHalf) || !named.tensor.requires_grad()) continue;
    if (nn::IsHollow(named.tensor)) {
      return absl::FailedPreconditionError(
          absl::StrCat(named.name, " is not in memory: load the model before training it"));
    }
    masters.stored_.push_back({named.name, named.tensor, dtype});
  }
  for (const Stored& stored : masters.stored_) {
    stored.tensor.set_data(stored.tensor.detach().to(at::kFloat));
  }
  return masters;
}

absl::Status MasterWeights::Restore() {
  std::vector<at::Tensor> cast;
  for (const Stored& stored : stored_) {
    WANLITE_ASSIGN_OR_RETURN(cast.emplace_back(),
                             CheckedCast(stored.tensor.detach(), stored.dtype, stored.name));
  }
  for (size_t i = 0; i < stored_.size(); ++i) stored_[i].tensor.set_data(cast[i]);
  stored_.clear();
  return absl::OkStatus();
}

MasterWeights::~MasterWeights() {
  for (const Stored& stored : stored_) {
    stored.tensor.set_data(stored.tensor.detach().to(stored.dtype));
  }
}

}  // namespace wanlite::train
