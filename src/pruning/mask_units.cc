// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/mask_units.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Indices of the units along the ref's dimension.
at::Tensor MaskedIndices(const AxisRef& ref, int64_t units, const std::vector<int64_t>& removed) {
  std::vector<int64_t> indices;
  for (int64_t outer = 0; outer < ref.outer; ++outer) {
    for (const int64_t unit : removed) {
      for (int64_t i = 0; i < ref.repeat; ++i) {
        indices.push_back((outer * units + unit) * ref.repeat + i);
      }
    }
  }
  return at::tensor(indices, at::kLong);
}

bool IsNormalized(const AxisGroup& group) {
  return std::any_of(group.refs.begin(), group.refs.end(),
                     [](const AxisRef& ref) { return ref.role == AxisRole::kRmsNormalized; });
}

struct Masked {
  std::map<std::string, at::Tensor> weights;  // of linears, by path
  std::map<std::string, at::Tensor> tensors;  // biases and others, by path
};

absl::StatusOr<Masked> MaskedValues(const ModelView& model, const std::vector<UnitMask>& masks) {
  Masked masked;
  const auto zero = [](at::Tensor& values, int64_t dim, const at::Tensor& indices) {
    values.index_fill_(dim, indices, 0);
  };
  const auto copy_of = [&](const std::string& path) -> absl::StatusOr<at::Tensor*> {
    const auto [at, fresh] = masked.tensors.try_emplace(path);
    if (fresh) {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor now, model.FindTensor(path));
      at->second = now.detach().clone();
    }
    return &at->second;
  };
  for (const UnitMask& mask : masks) {
    const bool all = IsNormalized(mask.group);
    for (const AxisRef& ref : mask.group.refs) {
      // A norm's weights scale what is zero already.
      if (ref.role == AxisRole::kRmsNormalized || (ref.dim != 1 && !all)) continue;
      const at::Tensor indices = MaskedIndices(ref, mask.group.units, mask.removed);
      if (model.FindLinear(ref.tensor) == nullptr) {
        if (!all) continue;
        WANLITE_ASSIGN_OR_RETURN(at::Tensor* const values, copy_of(ref.tensor));
        zero(*values, ref.dim, indices);
        continue;
      }
      const auto [at, fresh] = masked.weights.try_emplace(ref.tensor);
      if (fresh) {
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, ref.tensor));
        at->second = weight->dense()->detach().clone();
      }
      zero(at->second, ref.dim, indices);
      const std::string bias = absl::StrCat(ref.tensor, ".bias");
      if (ref.dim != 0 || !model.FindTensor(bias).ok()) continue;
      WANLITE_ASSIGN_OR_RETURN(at::Tensor* const values, copy_of(bias));
      zero(*values, 0, indices);
    }
  }
  return masked;
}

}  // namespace

Trial::Edit MaskUnits(std::vector<UnitMask> masks) {
  return [masks = std::move(masks)](ModelView& model,
                                    const BlockLease&) -> absl::StatusOr<Trial::Undo> {
    const at::NoGradGuard no_grad;
    WANLITE_ASSIGN_OR_RETURN(Masked masked, MaskedValues(model, masks));
    std::map<std::string, std::unique_ptr<LinearWeight>> weights;
    for (auto& [path, weight] : masked.weights) weights[path] = MakeDenseWeight(std::move(weight));
    std::vector<std::pair<std::string, at::Tensor>> before;
    const auto restore = [&model](const std::vector<std::pair<std::string, at::Tensor>>& values) {
      for (const auto& [path, value] : values) {
        WANLITE_RETURN_IF_ERROR(model.SetTensor(path, value));
      }
      return absl::OkStatus();
    };
    for (const auto& [path, value] : masked.tensors) {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor now, model.FindTensor(path));
      const at::Tensor old = now.detach();
      const absl::Status set = model.SetTensor(path, value);
      if (!set.ok()) {
        WANLITE_RETURN_IF_ERROR(restore(before));
        return set;
      }
      before.emplace_back(path, old);
    }
    absl::StatusOr<Trial::Undo> exchanged = ExchangeWeights(model, std::move(weights));
    if (!exchanged.ok()) {
      WANLITE_RETURN_IF_ERROR(restore(before));
      return exchanged.status();
    }
    return Trial::Undo([restore, before = std::move(before), undo = *std::move(exchanged)] {
      WANLITE_RETURN_IF_ERROR(restore(before));
      return undo();
    });
  };
}

}  // namespace wanlite
