// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/derived_source.h"
#include "src/model/dump.h"
#include "src/model/model_view_rep.h"
#include "src/model/tensor_text.h"
#include "src/model/unit_indices.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

absl::Status CheckKeep(const AxisGroup& group, const at::Tensor& keep) {
  const int64_t* unit = keep.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < keep.numel(); ++i) {
    if (unit[i] < 0 || unit[i] >= group.units || (i > 0 && unit[i] <= unit[i - 1])) {
      return absl::InvalidArgumentError(absl::StrCat(group.name, ": keep[", i, "] = ", unit[i],
                                                     "; wanted ascending units below ",
                                                     group.units));
    }
  }
  return absl::OkStatus();
}

// The layers and tensors of a group as they will be. Each may be named by several refs.
struct NewWeight {
  nn::Linear* linear;
  std::unique_ptr<LinearWeight> weight;
  std::optional<at::Tensor> bias;
  std::vector<AxisSelection> select;
};
struct NewValue {
  at::Tensor tensor, value;
  std::vector<AxisSelection> select;
  double scale = 1;
};
struct UnitCut {
  std::map<std::string, NewWeight> weights;  // by path of the linear
  std::map<std::string, NewValue> values;    // by path
};

absl::StatusOr<UnitCut> MakeCut(const TopologyIndex& index, const AxisGroup& group,
                                const at::Tensor& keep) {
  UnitCut cut;
  const at::NoGradGuard no_grad;
  for (const AxisRef& ref : group.refs) {
    const at::Tensor indices = UnitIndices(ref, group.units, keep);
    const int64_t want = ref.outer * group.units * ref.repeat;
    if (const auto it = index.linear_modules.find(ref.tensor); it != index.linear_modules.end()) {
      nn::Linear* linear = it->second;
      NewWeight& entry =
          cut.weights.try_emplace(ref.tensor, NewWeight{linear, nullptr, linear->bias(), {}})
              .first->second;
      const LinearWeight& current = entry.weight ? *entry.weight : linear->weight();
      const int64_t size = ref.dim == 0 ? current.out_features() : current.in_features();
      if (size != want) {
        return absl::InternalError(absl::StrCat(group.name, ": ", ref.tensor, " has ", size,
                                                " indices along dim ", ref.dim, ", declared ",
                                                want));
      }
      auto selected = current.Select(ref.dim, indices);
      if (!selected.ok()) {
        return Annotate(selected.status(), absl::StrCat(group.name, ": ", ref.tensor));
      }
      entry.weight = *std::move(selected);
      entry.select.push_back({ref.dim, indices});
      if (ref.dim == 0 && entry.bias.has_value()) {
        entry.bias = SelectIndices(*entry.bias, 0, indices);
      }
      continue;
    }
    const auto [it, is_new] = cut.values.try_emplace(ref.tensor);
    NewValue& entry = it->second;
    if (is_new) {
      WANLITE_ASSIGN_OR_RETURN(entry.tensor, index.FindTensor(ref.tensor));
      entry.value = entry.tensor.detach();
    }
    if (ref.dim >= entry.value.dim() || entry.value.size(ref.dim) != want) {
      return absl::InternalError(absl::StrCat(group.name, ": ", ref.tensor, " is ",
                                              ShapeText(entry.value.sizes()), ", declared ", want,
                                              " along dim ", ref.dim));
    }
    entry.value = SelectIndices(entry.value, ref.dim, indices);
    entry.select.push_back({ref.dim, indices});
    if (ref.role == AxisRole::kRmsNormalized) {
      entry.scale *=
          std::sqrt(static_cast<double>(group.units) / static_cast<double>(keep.numel()));
    }
  }
  for (auto& [path, entry] : cut.values) {
    if (entry.scale == 1) continue;
    WANLITE_ASSIGN_OR_RETURN(entry.value, ScaleValues(entry.value, entry.scale, path));
  }
  return cut;
}

// The block's tensors as the cut leaves them, made from `source` as it is. `whole`: the weights
// before the cut, hollow by the time that the result is read.
absl::StatusOr<std::shared_ptr<const TensorSource>> CutSource(
    const TopologyIndex& index, const std::string& block, const UnitCut& cut,
    const std::map<std::string, std::shared_ptr<const LinearWeight>>& whole,
    const std::shared_ptr<const TensorSource>& source) {
  std::vector<DerivedSource::Entry> entries;
  std::set<std::string> old_states;
  for (const auto& [path, entry] : cut.weights) {
    if (index.BlockOf(path) != block) continue;
    for (const WeightTensor& state : entry.linear->weight().State()) {
      old_states.insert(JoinTensorPath(path, state.name));
    }
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorSource> selected,
                             SelectedWeightSource(source, path, whole.at(path), entry.select));
    for (const TensorInfo& info : selected->tensors()) {
      entries.push_back(DerivedSource::Renamed(info.name, selected, info.name));
    }
  }
  for (const NamedTensor& named : index.BlockTensors(block)) {
    if (old_states.contains(named.name)) continue;
    DerivedSource::Entry entry = DerivedSource::Renamed(named.name, source, named.name);
    if (const auto value = cut.values.find(named.name); value != cut.values.end()) {
      entry.pieces.front().select = value->second.select;
      entry.pieces.front().scale = value->second.scale;
    }
    // The rows of a layer are those of its bias.
    const auto layer = cut.weights.find(std::string(ParentPath(named.name)));
    if (layer != cut.weights.end()) {
      for (const AxisSelection& select : layer->second.select) {
        if (select.first == 0) entry.pieces.front().select.push_back(select);
      }
    }
    entries.push_back(std::move(entry));
  }
  return DerivedSource::Create(std::move(entries));
}

}  // namespace

std::string OriginalGroupName(const TopologyIndex& index, const Component& component,
                              const AxisGroup& group) {
  std::string name = group.name;
  const auto block = index.block_index.find(group.block);
  if (block != index.block_index.end()) {
    const BlockInfo& info = index.blocks[block->second];
    if (absl::StartsWith(name, info.path + ".")) name.replace(0, info.path.size(), info.origin);
  }
  return component.name.empty() ? name : name.substr(component.name.size() + 1);
}

at::Tensor UnitIndices(const AxisRef& ref, int64_t units, const at::Tensor& which) {
  const at::Tensor once = (which.unsqueeze(1) * ref.repeat + at::arange(ref.repeat, at::kLong))
                              .flatten();  // [n * repeat]
  if (ref.outer == 1) return once;
  return (at::arange(ref.outer, at::kLong).unsqueeze(1) * (units * ref.repeat) + once).flatten();
}

int64_t ModelView::OriginalUnits(const AxisGroup& group) const {
  const Component& component = ComponentOf(group.refs.front().tensor);
  const auto found = component.unit_origin.find(OriginalGroupName(rep_->index, component, group));
  return found == component.unit_origin.end() ? group.units : found->second;
}

absl::StatusOr<std::shared_ptr<const LinearWeight>> HollowCopy(const std::string& path,
                                                               const LinearWeight& weight) {
  const at::NoGradGuard no_grad;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> copy,
                           weight.Select(0, at::arange(weight.out_features(), at::kLong)));
  for (const WeightTensor& state : copy->State()) {
    for (const WeightTensor& own : weight.State()) {
      if (!own.tensor.is_same(state.tensor)) continue;
      return absl::InternalError(absl::StrCat(path, ": a weight of format ", weight.format(),
                                              " shares its tensor ", own.name,
                                              " with what is selected of it"));
    }
    state.tensor.set_data(nn::HollowLike(state.tensor));
  }
  return std::shared_ptr<const LinearWeight>(std::move(copy));
}

absl::StatusOr<const LinearWeight*> ModelView::Weight(absl::string_view linear) const {
  const auto it = rep_->index.linear_modules.find(linear);
  if (it == rep_->index.linear_modules.end()) {
    return absl::NotFoundError(absl::StrCat("the model has no linear layer ", linear));
  }
  return &it->second->weight();
}

absl::Status ModelView::SetLinearWeight(absl::string_view linear,
                                        std::unique_ptr<LinearWeight> weight) {
  const auto it = rep_->index.linear_modules.find(linear);
  if (it == rep_->index.linear_modules.end()) {
    return absl::NotFoundError(absl::StrCat("the model has no linear layer ", linear));
  }
  if (weight == nullptr)
    return absl::InvalidArgumentError(absl::StrCat(linear, ": no weight given"));
  return Annotate(CatchTorch([&] { it->second->SetWeight(std::move(weight)); }), linear);
}

absl::Status ModelView::KeepUnits(absl::string_view group_name, const at::Tensor& keep) {
  const auto found_group = rep_->index.group_index.find(group_name);
  if (found_group == rep_->index.group_index.end()) {
    return absl::NotFoundError(absl::StrCat("the model has no axis group ", group_name));
  }
  AxisGroup* group = &rep_->index.groups[found_group->second];
  if (!keep.defined() || keep.dim() != 1 || keep.scalar_type() != at::kLong || keep.numel() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(group_name, ": keep must be a non-empty int64 vector"));
  }
  const at::Tensor units = keep.cpu().contiguous();
  WANLITE_RETURN_IF_ERROR(CheckKeep(*group, units));

  // Everything new is made first; only then is anything exchanged.
  WANLITE_ASSIGN_OR_RETURN(UnitCut cut,
                           CatchTorch([&] { return MakeCut(rep_->index, *group, units); }));
  // Blocks that will be filled again later get the same cut on the way. One whose source is not
  // what it holds (it was edited since) waits for a Rebase().
  std::map<std::string, std::shared_ptr<const TensorSource>> sources;
  std::map<std::string, std::shared_ptr<const LinearWeight>> whole;
  if (rep_->streaming) {
    WANLITE_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
      for (const auto& [path, entry] : cut.weights) {
        // A copy without values in the weight's own format.
        WANLITE_ASSIGN_OR_RETURN(whole[path], HollowCopy(path, entry.linear->weight()));
      }
      for (const std::string& block : group->blocks) {
        if (!rep_->CheckSource(rep_->SourceOf(block), block).ok()) continue;
        WANLITE_ASSIGN_OR_RETURN(
            sources[block], CutSource(rep_->index, block, cut, whole, rep_->SharedSourceOf(block)));
      }
      return absl::OkStatus();
    }));
  }

  struct OldWeight {
    nn::Linear* linear;
    std::unique_ptr<LinearWeight> weight;
    std::optional<at::Tensor> bias;
  };
  std::vector<OldWeight> old_weights;
  std::vector<std::pair<at::Tensor, at::Tensor>> old_values;
  const absl::Status exchanged = CatchTorch([&] {
    at::NoGradGuard no_grad;
    old_weights.reserve(cut.weights.size());
    old_values.reserve(cut.values.size());
    for (auto& [path, entry] : cut.weights) {
      nn::Linear* linear = entry.linear;
      const std::optional<at::Tensor> bias = linear->bias();
      old_weights.push_back(
          {linear, linear->SetWeight(std::move(entry.weight), /*resize=*/true), bias});
      linear->SetBias(std::move(entry.bias));
    }
    for (auto& [path, entry] : cut.values) {
      old_values.emplace_back(entry.tensor, entry.tensor.detach());
      entry.tensor.set_data(entry.value);
    }
  });
  if (!exchanged.ok()) {
    // What a weight of a foreign format refuses leaves no half of the group behind.
    const absl::Status undone = CatchTorch([&] {
      at::NoGradGuard no_grad;
      for (OldWeight& old : old_weights) {
        old.linear->SetWeight(std::move(old.weight), /*resize=*/true);
        old.linear->SetBias(std::move(old.bias));
      }
      for (auto& [tensor, value] : old_values) tensor.set_data(value);
    });
    return Annotate(undone.ok() ? exchanged : undone, group_name);
  }
  for (auto& [block, source] : sources) rep_->block_sources[block] = std::move(source);
  if (units.numel() != group->units) {
    Component& component = rep_->components[rep_->index.ComponentOf(group->refs.front().tensor)];
    component.resized = true;
    component.unit_origin.try_emplace(OriginalGroupName(rep_->index, component, *group),
                                      group->units);
  }
  group->units = units.numel();
  return absl::OkStatus();
}

absl::Status ModelView::SetTensor(absl::string_view path, const at::Tensor& value) {
  WANLITE_ASSIGN_OR_RETURN(at::Tensor tensor, FindTensor(path));
  if (!value.defined() || value.sizes() != tensor.sizes() ||
      value.scalar_type() != tensor.scalar_type()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is ", DtypeName(tensor.scalar_type()), " ", ShapeText(tensor.sizes()),
        ", the new value ",
        value.defined()
            ? absl::StrCat(DtypeName(value.scalar_type()), " ", ShapeText(value.sizes()))
            : "undefined"));
  }
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    tensor.set_data(value.detach());
  });
}

}  // namespace wanlite
