// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/derived_source.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/model/checked_cast.h"
#include "src/model/dump.h"
#include "src/model/model_view_rep.h"
#include "src/model/tensor_text.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// What the piece gives, from what its source says.
absl::StatusOr<TensorInfo> InfoOf(const DerivedSource::Piece& piece) {
  const TensorInfo* info = piece.source == nullptr ? nullptr : piece.source->Find(piece.name);
  if (info == nullptr) {
    return absl::NotFoundError(absl::StrCat("no tensor ", QuoteName(piece.name)));
  }
  TensorInfo result = *info;
  for (const auto& [dim, index] : piece.select) {
    if (dim < 0 || dim >= static_cast<int64_t>(result.shape.size()) || !index.defined() ||
        index.dim() != 1 || index.scalar_type() != at::kLong || index.numel() == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(QuoteName(piece.name), " ", ShapeText(info->shape),
                       ": indices of dimension ", dim, " must be a non-empty int64 vector"));
    }
    int64_t& size = result.shape[static_cast<size_t>(dim)];
    const int64_t low = index.min().item<int64_t>();
    const int64_t high = index.max().item<int64_t>();
    if (low < 0 || high >= size) {
      return absl::InvalidArgumentError(absl::StrCat(QuoteName(piece.name), " ",
                                                     ShapeText(info->shape), " has no index ",
                                                     low < 0 ? low : high, " in dimension ", dim));
    }
    size = index.numel();
  }
  if (piece.scale != 1 && !at::isFloatingType(result.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(
        QuoteName(piece.name), " is ", DtypeName(result.dtype), ", which cannot be scaled"));
  }
  return result;
}

absl::StatusOr<TensorInfo> InfoOf(const DerivedSource::Entry& entry) {
  if (entry.value.defined()) {
    return TensorInfo{entry.name, entry.value.scalar_type(), entry.value.sizes().vec()};
  }
  if (entry.pieces.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteName(entry.name), " is made of nothing"));
  }
  TensorInfo result;
  for (size_t i = 0; i < entry.pieces.size(); ++i) {
    WANLITE_ASSIGN_OR_RETURN(const TensorInfo piece, InfoOf(entry.pieces[i]));
    if (i == 0) {
      result = piece;
      continue;
    }
    const auto dim = static_cast<size_t>(entry.cat_dim);
    if (entry.add) {
      if (piece.dtype == result.dtype && piece.shape == result.shape &&
          at::isFloatingType(piece.dtype)) {
        continue;
      }
      return absl::InvalidArgumentError(absl::StrCat(
          QuoteName(entry.name), ": ", DtypeName(result.dtype), " ", ShapeText(result.shape),
          " and ", DtypeName(piece.dtype), " ", ShapeText(piece.shape), " cannot be added up"));
    }
    bool fits = piece.dtype == result.dtype && piece.shape.size() == result.shape.size() &&
                entry.cat_dim >= 0 && dim < result.shape.size();
    for (size_t d = 0; fits && d < result.shape.size(); ++d) {
      fits = d == dim || piece.shape[d] == result.shape[d];
    }
    if (!fits) {
      return absl::InvalidArgumentError(absl::StrCat(
          QuoteName(entry.name), ": ", DtypeName(result.dtype), " ", ShapeText(result.shape),
          " and ", DtypeName(piece.dtype), " ", ShapeText(piece.shape),
          " cannot be put together along dimension ", entry.cat_dim));
    }
    result.shape[dim] += piece.shape[dim];
  }
  result.name = entry.name;
  return result;
}

absl::StatusOr<at::Tensor> ReadPiece(const DerivedSource::Piece& piece) {
  WANLITE_ASSIGN_OR_RETURN(at::Tensor value, piece.source->Read(piece.name));
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] {
    for (const auto& [dim, index] : piece.select) value = SelectIndices(value, dim, index);
  }));
  if (piece.scale == 1) return value;
  return ScaleValues(value, piece.scale, piece.name);
}

// Of pieces of one shape; what is a piece's own source is in memory one at a time.
absl::StatusOr<at::Tensor> Sum(const DerivedSource::Entry& entry, const TensorInfo& info) {
  const at::ScalarType wide =
      info.dtype == at::kBFloat16 || info.dtype == at::kHalf ? at::kFloat : at::kDouble;
  at::Tensor sum;
  for (DerivedSource::Piece piece : entry.pieces) {
    const double scale = std::exchange(piece.scale, 1);
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, ReadPiece(piece));
    if (nn::IsHollow(value)) {
      const nn::HollowGuard hollow;
      return CatchTorch([&] { return nn::NewTensor(info.shape, info.dtype); });
    }
    WANLITE_RETURN_IF_ERROR(CatchTorch([&] {
      const at::NoGradGuard no_grad;
      if (!sum.defined()) sum = at::zeros(info.shape, wide);
      sum.add_(value, scale);
    }));
    piece.source->Release(piece.name);
  }
  return CatchTorch([&]() -> absl::StatusOr<at::Tensor> {
    const at::NoGradGuard no_grad;
    return CheckedCast(sum, info.dtype, entry.name);
  });
}

}  // namespace

at::Tensor SelectIndices(const at::Tensor& tensor, int64_t dim, const at::Tensor& index) {
  const at::NoGradGuard no_grad;
  if (!nn::IsHollow(tensor)) return tensor.index_select(dim, index.to(tensor.device())).detach();
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape[static_cast<size_t>(dim)] = index.numel();
  const nn::HollowGuard hollow;
  return nn::NewTensor(shape, tensor.scalar_type());
}

absl::StatusOr<at::Tensor> ScaleValues(const at::Tensor& value, double factor,
                                       absl::string_view name) {
  if (nn::IsHollow(value)) return value;
  return CatchTorch([&]() -> absl::StatusOr<at::Tensor> {
    const at::NoGradGuard no_grad;
    return CheckedCast(value.to(at::kDouble) * factor, value.scalar_type(), name);
  });
}

DerivedSource::Entry DerivedSource::Renamed(std::string name,
                                            std::shared_ptr<const TensorSource> source,
                                            std::string source_name) {
  Entry entry;
  entry.name = std::move(name);
  entry.pieces.push_back({std::move(source), std::move(source_name)});
  return entry;
}

absl::StatusOr<std::shared_ptr<const DerivedSource>> DerivedSource::Create(
    std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  std::shared_ptr<DerivedSource> result(new DerivedSource());
  result->infos_.reserve(entries.size());
  for (const Entry& entry : entries) {
    if (!result->infos_.empty() && result->infos_.back().name == entry.name) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", QuoteName(entry.name), " is there twice"));
    }
    WANLITE_ASSIGN_OR_RETURN(TensorInfo info, InfoOf(entry));
    result->infos_.push_back(std::move(info));
    result->infos_.back().name = entry.name;
  }
  result->entries_ = std::move(entries);
  return std::shared_ptr<const DerivedSource>(std::move(result));
}

const DerivedSource::Entry* DerivedSource::FindEntry(absl::string_view name) const {
  const TensorInfo* info = Find(name);
  return info == nullptr ? nullptr : &entries_[static_cast<size_t>(info - infos_.data())];
}

absl::StatusOr<at::Tensor> DerivedSource::Read(absl::string_view name) const {
  const Entry* entry = FindEntry(name);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("no tensor ", QuoteName(name)));
  if (entry->value.defined()) return CatchTorch([&] { return entry->value.detach().clone(); });
  if (entry->pieces.size() == 1) return ReadPiece(entry->pieces.front());
  if (entry->add) return Sum(*entry, *Find(name));
  std::vector<at::Tensor> pieces;
  for (const Piece& piece : entry->pieces) {
    WANLITE_ASSIGN_OR_RETURN(at::Tensor value, ReadPiece(piece));
    pieces.push_back(std::move(value));
  }
  if (std::any_of(pieces.begin(), pieces.end(), nn::IsHollow)) {
    const TensorInfo* info = Find(name);
    const nn::HollowGuard hollow;
    return CatchTorch([&] { return nn::NewTensor(info->shape, info->dtype); });
  }
  return CatchTorch([&] {
    const at::NoGradGuard no_grad;
    return at::cat(pieces, entry->cat_dim);
  });
}

void DerivedSource::Release(absl::string_view name) const {
  const Entry* entry = FindEntry(name);
  if (entry == nullptr) return;
  for (const Piece& piece : entry->pieces) piece.source->Release(piece.name);
}

void DerivedSource::Prefetch(absl::string_view name) const {
  const Entry* entry = FindEntry(name);
  if (entry == nullptr) return;
  for (const Piece& piece : entry->pieces) piece.source->Prefetch(piece.name);
}

namespace {

class SelectedWeight final : public TensorSource {
 public:
  SelectedWeight(std::shared_ptr<const TensorSource> source, std::string linear,
                 std::shared_ptr<const LinearWeight> whole, std::vector<AxisSelection> select)
      : source_(std::move(source)),
        linear_(std::move(linear)),
        whole_(std::move(whole)),
        select_(std::move(select)) {}

  absl::Status Prepare() {
    for (const WeightTensor& state : whole_->State()) {
      const std::string name = JoinTensorPath(linear_, state.name);
      const TensorInfo* info = source_->Find(name);
      if (info == nullptr || state.tensor.sizes() != at::IntArrayRef(info->shape) ||
          state.tensor.scalar_type() != info->dtype) {
        return absl::NotFoundError(absl::StrCat("no tensor ", QuoteName(name), " ",
                                                DtypeName(state.tensor.scalar_type()), " ",
                                                ShapeText(state.tensor.sizes())));
      }
    }
    WANLITE_ASSIGN_OR_RETURN(const auto cut, Cut());
    for (const WeightTensor& state : cut->State()) {
      infos_.push_back({JoinTensorPath(linear_, state.name), state.tensor.scalar_type(),
                        state.tensor.sizes().vec()});
    }
    std::sort(infos_.begin(), infos_.end(),
              [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
    return absl::OkStatus();
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }

  absl::StatusOr<at::Tensor> Read(absl::string_view name) const override {
    if (Find(name) == nullptr) {
      return absl::NotFoundError(absl::StrCat("no tensor ", QuoteName(name)));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ready_.contains(name)) WANLITE_RETURN_IF_ERROR(Fill());
    const auto found = ready_.find(name);
    if (found == ready_.end()) {
      return absl::InternalError(absl::StrCat(linear_, ": the cut weight lacks ", name));
    }
    at::Tensor value = std::move(found->second);
    ready_.erase(found);
    return value;
  }

  void Release(absl::string_view) const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ready_.clear();
    for (const WeightTensor& state : whole_->State()) {
      source_->Release(JoinTensorPath(linear_, state.name));
    }
  }

  void Prefetch(absl::string_view name) const override {
    // The first tensor stands for all: the whole weight is read with it.
    if (name != infos_.front().name) return;
    for (const WeightTensor& state : whole_->State()) {
      source_->Prefetch(JoinTensorPath(linear_, state.name));
    }
  }

 private:
  // A weight cuts itself, so `whole_` has its values while it does.
  absl::Status Fill() const {
    const std::vector<WeightTensor> states = whole_->State();
    std::vector<at::Tensor> values;
    for (const WeightTensor& state : states) {
      WANLITE_ASSIGN_OR_RETURN(at::Tensor value,
                               source_->Read(JoinTensorPath(linear_, state.name)));
      values.push_back(std::move(value));
    }
    const auto exchange = [&](bool fill) {
      return CatchTorch([&] {
        const at::NoGradGuard no_grad;
        for (size_t i = 0; i < states.size(); ++i) {
          states[i].tensor.set_data(fill ? values[i] : nn::HollowLike(states[i].tensor));
        }
      });
    };
    WANLITE_RETURN_IF_ERROR(exchange(true));
    absl::StatusOr<std::unique_ptr<LinearWeight>> cut = Cut();
    ready_.clear();
    if (cut.ok()) {
      // A format may hand over a tensor of its own: the handle must outlive the exchange.
      for (const WeightTensor& state : (*cut)->State()) {
        ready_[JoinTensorPath(linear_, state.name)] = state.tensor.detach();
      }
    }
    WANLITE_RETURN_IF_ERROR(exchange(false));
    return cut.ok() ? absl::OkStatus() : Annotate(cut.status(), linear_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Cut() const {
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      std::unique_ptr<LinearWeight> cut;
      for (const auto& [dim, index] : select_) {
        const LinearWeight& from = cut == nullptr ? *whole_ : *cut;
        WANLITE_ASSIGN_OR_RETURN(cut, from.Select(dim, index));
      }
      return cut;
    });
  }

  const std::shared_ptr<const TensorSource> source_;
  const std::string linear_;
  const std::shared_ptr<const LinearWeight> whole_;
  const std::vector<AxisSelection> select_;  // not empty
  std::vector<TensorInfo> infos_;
  mutable std::mutex mutex_;  // of the rest, and of the values of whole_
  // Cut already and not read yet.
  mutable std::map<std::string, at::Tensor, std::less<>> ready_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const TensorSource>> SelectedWeightSource(
    std::shared_ptr<const TensorSource> source, std::string linear,
    std::shared_ptr<const LinearWeight> whole, std::vector<AxisSelection> select) {
  if (select.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(linear, ": nothing is selected"));
  }
  auto result = std::make_shared<SelectedWeight>(std::move(source), std::move(linear),
                                                 std::move(whole), std::move(select));
  WANLITE_RETURN_IF_ERROR(result->Prepare());
  return std::shared_ptr<const TensorSource>(std::move(result));
}

}  // namespace wanlite
