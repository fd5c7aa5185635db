// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/tensor_exchange.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite::train {

std::vector<int> BalancedOwners(const std::vector<int64_t>& sizes, int ranks) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  std::vector<int64_t> held(static_cast<size_t>(ranks), 0);
  std::vector<int> owners(sizes.size(), 0);
  for (const size_t i : order) {
    const auto least = std::min_element(held.begin(), held.end());
    owners[i] = static_cast<int>(least - held.begin());
    *least += sizes[i];
  }
  return owners;
}

std::vector<std::vector<size_t>> TensorExchange::Buckets(
    const std::vector<at::Tensor>& tensors) const {
  using Kind = std::tuple<int, at::ScalarType, at::DeviceType>;
  std::map<Kind, int64_t> open;  // bytes in the last bucket of the kind
  std::map<Kind, std::vector<std::vector<size_t>>> buckets;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Kind kind{owners_[i], tensors[i].scalar_type(), tensors[i].device().type()};
    const auto bytes = static_cast<int64_t>(tensors[i].nbytes());
    std::vector<std::vector<size_t>>& list = buckets[kind];
    if (list.empty() || open[kind] + bytes > kBucketBytes) {
      list.emplace_back();
      open[kind] = 0;
    }
    list.back().push_back(i);
    open[kind] += bytes;
  }
  std::vector<std::vector<size_t>> all;
  for (auto& [kind, list] : buckets) {
    for (std::vector<size_t>& bucket : list) all.push_back(std::move(bucket));
  }
  return all;
}

at::Tensor TensorExchange::Packed(const std::vector<at::Tensor>& tensors,
                                  const std::vector<size_t>& bucket) const {
  std::vector<at::Tensor> parts;
  for (const size_t i : bucket) parts.push_back(tensors[i].detach().reshape({-1}));
  at::Tensor packed = parts.size() == 1 ? parts.front() : at::cat(parts);
  if (!group_.Takes(packed.device().type())) packed = packed.cpu();
  return packed.contiguous();
}

void TensorExchange::Unpack(const at::Tensor& packed, const std::vector<size_t>& bucket,
                            const std::vector<at::Tensor>& into) {
  int64_t at = 0;
  for (const size_t i : bucket) {
    const at::Tensor target = into[i].detach();
    const at::Tensor part = packed.narrow(0, at, target.numel());
    at += target.numel();
    // A tensor that travelled alone is there already.
    if (part.const_data_ptr() == target.const_data_ptr()) continue;
    target.copy_(part.view(target.sizes()));
  }
}

absl::Status TensorExchange::ReduceToOwners(std::vector<at::Tensor>& tensors) {
  if (group_.size() == 1) return absl::OkStatus();
  const at::NoGradGuard no_grad;
  for (const std::vector<size_t>& bucket : Buckets(tensors)) {
    const int owner = owners_[bucket.front()];
    const at::Tensor packed = Packed(tensors, bucket);
    if (owner != group_.rank()) {
      bytes_sent_ += static_cast<int64_t>(packed.nbytes());
      for (const size_t i : bucket) tensors[i] = at::Tensor();
    }
    WANLITE_RETURN_IF_ERROR(group_.Reduce(packed, owner));
    if (owner == group_.rank()) Unpack(packed, bucket, tensors);
  }
  return absl::OkStatus();
}

absl::Status TensorExchange::SpreadFromOwners(const std::vector<at::Tensor>& tensors) {
  if (group_.size() == 1) return absl::OkStatus();
  const at::NoGradGuard no_grad;
  for (const std::vector<size_t>& bucket : Buckets(tensors)) {
    const int owner = owners_[bucket.front()];
    const at::Tensor packed = Packed(tensors, bucket);
    WANLITE_RETURN_IF_ERROR(group_.Broadcast(packed, owner));
    if (owner == group_.rank()) {
      bytes_sent_ += static_cast<int64_t>(packed.nbytes()) * (group_.size() - 1);
    } else {
      Unpack(packed, bucket, tensors);
    }
  }
  return absl::OkStatus();
}

absl::Status BroadcastText(ProcessGroup& group, int root, std::string& text) {
  const at::Tensor size = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  WANLITE_RETURN_IF_ERROR(group.Broadcast(size, root));
  const at::Tensor bytes = at::empty({size.item<int64_t>()}, at::kByte);
  auto* const data = reinterpret_cast<char*>(bytes.mutable_data_ptr<uint8_t>());
  if (group.rank() == root) std::copy(text.begin(), text.end(), data);
  WANLITE_RETURN_IF_ERROR(group.Broadcast(bytes, root));
  text.assign(data, static_cast<size_t>(bytes.numel()));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> GatherTexts(ProcessGroup& group, const std::string& own) {
  std::vector<std::string> texts(static_cast<size_t>(group.size()));
  texts[static_cast<size_t>(group.rank())] = own;
  for (int rank = 0; rank < group.size(); ++rank) {
    WANLITE_RETURN_IF_ERROR(BroadcastText(group, rank, texts[static_cast<size_t>(rank)]));
  }
  return texts;
}

absl::Status Agree(ProcessGroup& group, const absl::Status& status, absl::string_view who) {
  if (group.size() == 1) return status;
  const at::Tensor failed = at::full({1}, status.ok() ? 0 : 1, at::kLong);
  const absl::Status reached = group.AllReduce(failed);
  WANLITE_RETURN_IF_ERROR(status);
  WANLITE_RETURN_IF_ERROR(reached);
  if (failed.item<int64_t>() == 0) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(who, ": another process of the group failed"));
}

}  // namespace wanlite::train
