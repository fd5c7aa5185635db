// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/lora/lora_set.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/model/checked_cast.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

absl::StatusOr<at::Tensor> ReadFinite(const LoraFile& file, const std::string& name) {
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, file.file->Read(name));
  WANLITE_ASSIGN_OR_RETURN(const bool finite,
                           CatchTorch([&] { return value.isfinite().all().item<bool>(); }));
  if (finite) return value;
  return absl::InvalidArgumentError(
      absl::StrCat(file.spec.path, ": ", QuoteName(name), " holds a NaN or an infinity"));
}

// value + the sum of scale * difference, in fp32, in the dtype of `value`.
absl::StatusOr<at::Tensor> Changed(const LoraSet::Rep& rep, const std::string& path,
                                   const at::Tensor& value,
                                   const std::vector<LoraSet::Rep::Difference>& differences) {
  at::Tensor sum;
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] { sum = value.detach().to(at::kFloat); }));
  for (const LoraSet::Rep::Difference& difference : differences) {
    const LoraFile& file = rep.files[difference.file];
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor read, ReadFinite(file, difference.name));
    WANLITE_RETURN_IF_ERROR(CatchTorch(
        [&] { sum = at::add(sum, read.to(sum.device(), at::kFloat), difference.scale); }));
  }
  return CheckedCast(sum, value.scalar_type(), path);
}

// The weight of a layer with its adapters; hollow ones when `hollow`.
absl::StatusOr<std::unique_ptr<LinearWeight>> Adapted(const LoraSet::Rep& rep,
                                                      const ModelView& model,
                                                      const std::string& linear,
                                                      const LoraSet::Rep::LinearChange& change,
                                                      bool hollow) {
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear));
  std::vector<LoraBranch> branches = LoraBranches(*weight);
  std::unique_ptr<LinearWeight> base;
  if (hollow || change.differences.empty()) {
    WANLITE_ASSIGN_OR_RETURN(base, LoraBase(*weight).Share());
  } else {
    const at::Tensor* dense = LoraBase(*weight).dense();
    if (dense == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("the weight is stored as ", std::string(LoraBase(*weight).format()),
                       " and cannot take a difference of the whole matrix"));
    }
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix,
                             Changed(rep, linear, *dense, change.differences));
    base = MakeDenseWeight(matrix);
  }
  const at::Device device = weight->State().front().tensor.device();
  for (const LoraSet::Rep::Branch& branch : change.branches) {
    const LoraFile& file = rep.files[branch.file];
    LoraBranch added{file.spec.adapter, {}, {}, branch.alpha, branch.strength};
    if (hollow) {
      const nn::HollowGuard guard;
      added.a = nn::NewTensor({branch.rank, weight->in_features()}, branch.dtype);
      added.b = nn::NewTensor({weight->out_features(), branch.rank}, branch.dtype);
    } else {
      WANLITE_ASSIGN_OR_RETURN(added.a, ReadFinite(file, branch.a));
      WANLITE_ASSIGN_OR_RETURN(added.b, ReadFinite(file, branch.b));
      WANLITE_RETURN_IF_ERROR(CatchTorch([&] {
        added.a = added.a.to(device);
        added.b = added.b.to(device);
      }));
    }
    branches.push_back(std::move(added));
  }
  if (branches.empty()) return base;
  return MakeLoraWeight(std::move(base), std::move(branches));
}

// Whether a change of something at `path` is asked for: in the block, or in a component that the
// model has.
bool IsAskedFor(const ModelView& model, const std::string& path, absl::string_view block) {
  if (!block.empty()) return model.BlockOf(path) == block;
  for (const Component& component : model.components()) {
    if (component.name.empty() || path.rfind(component.name + ".", 0) == 0) return true;
  }
  return false;
}

}  // namespace

absl::Status LoraSet::ApplyPlan(ModelView& hollow) const {
  for (const auto& [linear, change] : rep_->linears) {
    if (change.branches.empty() || !IsAskedFor(hollow, linear, "")) continue;
    auto weight = Adapted(*rep_, hollow, linear, change, /*hollow=*/true);
    if (!weight.ok()) return Annotate(weight.status(), linear);
    WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(linear, *std::move(weight)));
  }
  return absl::OkStatus();
}

absl::Status LoraSet::Apply(ModelView& model, absl::string_view block) const {
  std::vector<std::pair<std::string, std::unique_ptr<LinearWeight>>> weights;
  std::vector<NamedTensor> tensors;
  for (const auto& [linear, change] : rep_->linears) {
    if (!IsAskedFor(model, linear, block)) continue;
    auto weight = Adapted(*rep_, model, linear, change, /*hollow=*/false);
    if (!weight.ok()) return Annotate(weight.status(), linear);
    weights.emplace_back(linear, *std::move(weight));
  }
  for (const auto& [path, differences] : rep_->tensors) {
    if (!IsAskedFor(model, path, block)) continue;
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, model.FindTensor(path));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor changed, Changed(*rep_, path, value, differences));
    tensors.push_back({path, changed});
  }
  for (auto& [linear, weight] : weights) {
    WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear, std::move(weight)));
  }
  for (const NamedTensor& named : tensors) {
    WANLITE_RETURN_IF_ERROR(model.SetTensor(named.name, named.tensor));
  }
  return absl::OkStatus();
}

bool LoraSet::Touches(const ModelView& model, absl::string_view block) const {
  const auto any = [&](const auto& changes) {
    for (const auto& [path, change] : changes) {
      if (IsAskedFor(model, path, block)) return true;
    }
    return false;
  };
  return any(rep_->linears) || any(rep_->tensors);
}

absl::Status LoraSet::CheckFinite(const CancellationToken* cancel) const {
  const auto check = [&](size_t file, const std::string& name) -> absl::Status {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
    WANLITE_RETURN_IF_ERROR(ReadFinite(rep_->files[file], name).status());
    rep_->files[file].file->Release(name);
    return absl::OkStatus();
  };
  for (const auto& [linear, change] : rep_->linears) {
    for (const Rep::Branch& branch : change.branches) {
      WANLITE_RETURN_IF_ERROR(check(branch.file, branch.a));
      WANLITE_RETURN_IF_ERROR(check(branch.file, branch.b));
    }
    for (const Rep::Difference& difference : change.differences) {
      WANLITE_RETURN_IF_ERROR(check(difference.file, difference.name));
    }
  }
  for (const auto& [path, differences] : rep_->tensors) {
    for (const Rep::Difference& difference : differences) {
      WANLITE_RETURN_IF_ERROR(check(difference.file, difference.name));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> LoraSet::Describe() const { return rep_->described; }

int64_t LoraSet::branches() const {
  int64_t count = 0;
  for (const auto& [linear, change] : rep_->linears) {
    count += static_cast<int64_t>(change.branches.size());
  }
  return count;
}

int64_t LoraSet::differences() const {
  int64_t count = 0;
  for (const auto& [linear, change] : rep_->linears) {
    count += static_cast<int64_t>(change.differences.size());
  }
  for (const auto& [path, differences] : rep_->tensors) {
    count += static_cast<int64_t>(differences.size());
  }
  return count;
}

}  // namespace wanlite
