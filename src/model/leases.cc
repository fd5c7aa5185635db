// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/check_scales.h"
#include "src/model/checked_cast.h"
#include "src/model/dump.h"
#include "src/model/model_view_rep.h"
#include "src/model/tensor_text.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// OK when a stored tensor is what the model has in its place.
absl::Status CheckStored(const NamedTensor& wanted, at::ScalarType dtype, at::IntArrayRef shape) {
  if (shape == wanted.tensor.sizes() && dtype == wanted.tensor.scalar_type()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(wanted.name, " is ", DtypeName(dtype), " ",
                                                 ShapeText(shape), " in the file, the model wants ",
                                                 DtypeName(wanted.tensor.scalar_type()), " ",
                                                 ShapeText(wanted.tensor.sizes())));
}

}  // namespace

std::shared_ptr<const TensorSource> ModelView::Rep::SharedSourceOf(absl::string_view block) const {
  const auto own = block_sources.find(block);
  return own == block_sources.end() ? source : own->second;
}

const TensorSource& ModelView::Rep::SourceOf(absl::string_view block) const {
  const auto own = block_sources.find(block);
  return own == block_sources.end() ? *source : *own->second;
}

absl::Status ModelView::Rep::CheckSource(const TensorSource& from, absl::string_view block) const {
  for (const NamedTensor& named : index.BlockTensors(block)) {
    const TensorInfo* info = from.Find(named.name);
    if (info == nullptr) {
      return absl::NotFoundError(absl::StrCat("the source has no tensor ", named.name));
    }
    WANLITE_RETURN_IF_ERROR(CheckStored(named, info->dtype, info->shape));
  }
  return absl::OkStatus();
}

absl::Status ModelView::Rep::Fill(const std::vector<std::string>& blocks) {
  std::vector<at::Tensor> tensors, values;
  for (const std::string& block : blocks) {
    const TensorSource& from = SourceOf(block);
    for (const NamedTensor& named : index.BlockTensors(block)) {
      WANLITE_ASSIGN_OR_RETURN(at::Tensor value, from.Read(named.name));
      WANLITE_RETURN_IF_ERROR(CheckStored(named, value.scalar_type(), value.sizes()));
      tensors.push_back(named.tensor);
      values.push_back(std::move(value));
    }
  }
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    for (size_t i = 0; i < tensors.size(); ++i) tensors[i].set_data(values[i]);
  });
}

void ModelView::Rep::Release(const std::string& block) {
  leased.erase(block);
  if (!streaming) return;
  at::NoGradGuard no_grad;
  const TensorSource& from = SourceOf(block);
  for (const NamedTensor& named : index.BlockTensors(block)) {
    named.tensor.set_data(nn::HollowLike(named.tensor));
    from.Release(named.name);
  }
#if defined(__GLIBC__)
  // The allocator keeps what a block needed, in holes that the next block's tensors do not all fit:
  // without this a streamed model's memory grows by half a block per block.
  malloc_trim(0);
#endif
}

namespace {

// from: what the weight was read from, or null.
void Pack(nn::Linear& linear, const std::string& path, const TensorSource* from) {
  std::unique_ptr<LinearWeight> packed = linear.weight().Packed();
  if (packed == nullptr) return;
  std::vector<std::string> gone;
  for (const WeightTensor& state : linear.weight().State()) gone.push_back(state.name);
  for (const WeightTensor& state : packed->State()) std::erase(gone, state.name);
  linear.SetWeight(std::move(packed));
  if (from == nullptr) return;
  for (const std::string& name : gone) from->Release(JoinTensorPath(path, name));
}

}  // namespace

void ModelView::AttachSource(std::shared_ptr<const TensorSource> source) {
  rep_->source = std::move(source);
  rep_->block_sources.clear();
  rep_->streaming = rep_->source != nullptr;
}

absl::Status ModelView::Rebase(absl::string_view block, std::shared_ptr<const TensorSource> now) {
  if (!rep_->index.block_index.contains(block)) {
    return absl::NotFoundError(absl::StrCat("the model has no block ", block));
  }
  if (now == nullptr) return absl::InvalidArgumentError(absl::StrCat(block, ": no source given"));
  if (!rep_->streaming) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(Annotate(rep_->CheckSource(*now, block), block));
  rep_->block_sources[std::string(block)] = std::move(now);
  return absl::OkStatus();
}

bool ModelView::streaming() const { return rep_->streaming; }

absl::StatusOr<BlockLease> ModelView::Lease(absl::string_view block) {
  if (!rep_->index.block_index.contains(block)) {
    return absl::NotFoundError(absl::StrCat("the model has no block ", block));
  }
  if (rep_->leased.contains(block)) {
    return absl::FailedPreconditionError(absl::StrCat("block ", block, " is leased already"));
  }
  if (rep_->streaming) {
    WANLITE_RETURN_IF_ERROR(Annotate(rep_->Fill({std::string(block)}), block));
  }
  rep_->leased.insert(std::string(block));
  return BlockLease(rep_.get(), std::string(block));
}

std::function<void()> ModelView::ReadAhead(absl::string_view block) const {
  if (!rep_->streaming) return [] {};
  std::vector<std::string> names;
  for (const NamedTensor& named : rep_->index.BlockTensors(block)) names.push_back(named.name);
  return [source = rep_->SharedSourceOf(block), names = std::move(names)] {
    for (const std::string& name : names) source->Prefetch(name);
  };
}

absl::Status ModelView::LoadAll() {
  if (!rep_->streaming) return absl::OkStatus();
  if (!rep_->leased.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("LoadAll while block ", *rep_->leased.begin(), " is leased"));
  }
  std::vector<std::string> blocks;
  for (const BlockInfo& block : rep_->index.blocks) blocks.push_back(block.path);
  WANLITE_RETURN_IF_ERROR(rep_->Fill(blocks));
  // Not where a block is leased: whoever looks for what is wrong with a model leases its blocks.
  WANLITE_RETURN_IF_ERROR(CheckScales(*this));
  rep_->streaming = false;
  rep_->loaded_from = std::move(rep_->source);
  rep_->source = nullptr;
  rep_->block_sources.clear();
  return absl::OkStatus();
}

absl::Status ModelView::Cast(at::ScalarType dtype) {
  if (rep_->streaming) return absl::FailedPreconditionError("Cast: the model is not in memory");
  if (!at::isFloatingType(dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("Cast: ", DtypeName(dtype), " is not a float type"));
  }
  std::set<std::string> kept;
  for (const auto& [path, linear] : rep_->index.linear_modules) {
    for (const WeightTensor& state : linear->weight().State()) {
      if (state.role != WeightTensor::Role::kParameter) {
        kept.insert(JoinTensorPath(path, state.name));
      }
    }
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> old;
  absl::Status status = CatchTorch([&]() -> absl::Status {
    at::NoGradGuard no_grad;
    for (const NamedTensor& named : Tensors()) {
      if (!named.tensor.is_floating_point() || kept.contains(named.name)) continue;
      const at::ScalarType target = KeepsFloat32(named.name) ? at::kFloat : dtype;
      if (named.tensor.scalar_type() == target) continue;
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor cast,
                               CheckedCast(named.tensor, target, named.name));
      // Of a model that was read from files the old values are pages of theirs, not memory.
      old.emplace_back(named.tensor, named.tensor.detach());
      named.tensor.set_data(cast);
    }
    return absl::OkStatus();
  });
  if (status.ok()) return status;
  const absl::Status undone = CatchTorch([&] {
    at::NoGradGuard no_grad;
    for (auto& [tensor, value] : old) tensor.set_data(value);
  });
  return undone.ok() ? status : undone;
}

absl::Status ModelView::To(const at::Device& device) {
  if (rep_->streaming) return absl::FailedPreconditionError("To: the model is not in memory");
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    for (const NamedTensor& named : Tensors()) {
      if (named.tensor.device() != device) named.tensor.set_data(named.tensor.detach().to(device));
    }
  });
}

absl::Status ModelView::PackWeights() {
  if (rep_->streaming) {
    return absl::FailedPreconditionError("PackWeights: the model is not in memory");
  }
  for (const LinearInfo& info : rep_->index.linears) {
    nn::Linear& linear = *rep_->index.linear_modules.at(info.path);
    const absl::Status packed =
        CatchTorch([&] { Pack(linear, info.path, rep_->loaded_from.get()); });
    if (!packed.ok()) return Annotate(packed, info.path);
  }
  rep_->loaded_from = nullptr;
  return absl::OkStatus();
}

BlockLease::BlockLease(BlockLease&& other) noexcept
    : rep_(std::exchange(other.rep_, nullptr)), block_(std::move(other.block_)) {}

BlockLease::~BlockLease() {
  if (rep_ != nullptr) rep_->Release(block_);
}

std::vector<NamedTensor> BlockLease::State() const { return rep_->index.BlockTensors(block_); }

}  // namespace wanlite
