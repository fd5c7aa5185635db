// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/unit_padding.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/model/derived_source.h"
#include "src/model/dump.h"
#include "src/model/tensor_text.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

std::string InsideComponent(const Component& component, const std::string& path) {
  return component.name.empty() ? path : path.substr(component.name.size() + 1);
}

// Where the ref's indices of `units` units stand among those of `wide` units. int64
// [outer * units * repeat].
at::Tensor PlacesOf(const AxisRef& ref, int64_t units, int64_t wide) {
  const at::Tensor once = at::arange(units * ref.repeat, at::kLong);
  return (at::arange(ref.outer, at::kLong).unsqueeze(1) * (wide * ref.repeat) + once).flatten();
}

// Units of the groups of one kind, before and after.
struct Growth {
  int64_t least = 0, most = 0, after_least = 0, after_most = 0;
};

std::string RangeText(int64_t least, int64_t most) {
  return least == most ? absl::StrCat(least) : absl::StrCat(least, " to ", most);
}

}  // namespace

absl::StatusOr<UnitPadding> UnitPadding::Create(const ModelView& view, const Component& component,
                                                const Architecture& architecture,
                                                std::string config_json) {
  Component wide = component;
  wide.config_json = config_json;
  {
    const nn::HollowGuard hollow;
    WANLITE_ASSIGN_OR_RETURN(wide.module, architecture.build(config_json));
  }
  std::vector<Component> components;
  components.push_back(std::move(wide));
  WANLITE_ASSIGN_OR_RETURN(const ModelView target, ModelView::Create(std::move(components)));

  UnitPadding padding;
  padding.config_json_ = std::move(config_json);
  for (const NamedTensor& named : target.Tensors()) {
    padding.shapes_[InsideComponent(component, named.name)] = named.tensor.sizes().vec();
  }
  std::map<std::string, int64_t> units_of;
  for (const AxisGroup& group : view.groups()) units_of[group.name] = group.units;
  std::map<std::string, Growth> growth;  // by kind
  for (const AxisGroup& group : target.groups()) {
    const auto found = units_of.find(group.name);
    if (found == units_of.end() || found->second > group.units) {
      return absl::InternalError(
          absl::StrCat(group.name, ": the padded network has ", group.units, " units, the model ",
                       found == units_of.end() ? "none" : absl::StrCat(found->second)));
    }
    const int64_t units = found->second;
    if (units == group.units) continue;
    const auto [kind, is_new] =
        growth.try_emplace(group.kind, Growth{units, units, group.units, group.units});
    Growth& grown = kind->second;
    grown.least = std::min(grown.least, units);
    grown.most = std::max(grown.most, units);
    grown.after_least = std::min(grown.after_least, group.units);
    grown.after_most = std::max(grown.after_most, group.units);
    for (const AxisRef& ref : group.refs) {
      if (ref.role == AxisRole::kLayerNormalized) {
        return absl::FailedPreconditionError(absl::StrCat(
            group.name, ": a layer norm would take its mean over ", group.units,
            " channels in place of ", units, ", so zeros beside them change what it gives"));
      }
      Step step;
      step.dim = ref.dim;
      step.places = PlacesOf(ref, units, group.units);
      step.size = ref.outer * group.units * ref.repeat;
      if (ref.role == AxisRole::kRmsNormalized) {
        step.scale = std::sqrt(static_cast<double>(units) / static_cast<double>(group.units));
      }
      const std::string tensor = InsideComponent(component, ref.tensor);
      if (padding.shapes_.contains(tensor)) {
        padding.steps_[tensor].push_back(step);
        continue;
      }
      padding.steps_[absl::StrCat(tensor, ".weight")].push_back(step);
      const std::string bias = absl::StrCat(tensor, ".bias");
      if (ref.dim == 0 && padding.shapes_.contains(bias)) padding.steps_[bias].push_back(step);
    }
  }
  for (const auto& [kind, grown] : growth) {
    padding.grown_.push_back(absl::StrCat(kind, " of ", RangeText(grown.least, grown.most),
                                          " become ",
                                          RangeText(grown.after_least, grown.after_most)));
  }
  return padding;
}

absl::StatusOr<std::vector<int64_t>> UnitPadding::ShapeOf(const std::string& name) const {
  const auto found = shapes_.find(name);
  if (found != shapes_.end()) return found->second;
  return absl::InternalError(absl::StrCat("the padded network has no tensor ", name));
}

absl::StatusOr<at::Tensor> UnitPadding::Pad(const std::string& name,
                                            const at::Tensor& value) const {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, ShapeOf(name));
  at::Tensor padded = value;
  if (const auto found = steps_.find(name); found != steps_.end()) {
    WANLITE_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
      double scale = 1;
      for (const Step& step : found->second) {
        std::vector<int64_t> sizes = padded.sizes().vec();
        if (step.dim >= padded.dim() || padded.size(step.dim) != step.places.numel()) break;
        sizes[static_cast<size_t>(step.dim)] = step.size;
        padded = at::zeros(sizes, padded.options()).index_copy_(step.dim, step.places, padded);
        scale *= step.scale;
      }
      if (scale == 1) return absl::OkStatus();
      WANLITE_ASSIGN_OR_RETURN(padded, ScaleValues(padded, scale, name));
      return absl::OkStatus();
    }));
  }
  if (padded.sizes() == at::IntArrayRef(shape)) return padded;
  return absl::InternalError(absl::StrCat(name, " is padded to ", ShapeText(padded.sizes()),
                                          ", wanted ", ShapeText(shape)));
}

}  // namespace wanlite
