// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/calibration/activation_files.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kIndexFile[] = "index.safetensors";
constexpr absl::string_view kPackEnding = ".safetensors";

std::string PackName(int64_t first) {
  return absl::StrCat(absl::Dec(first, absl::kZeroPad8), kPackEnding);
}

// "3.x@": sample, value; behind it stands the dtype that the value has in memory.
std::string ValuePrefix(int64_t sample, const std::string& name) {
  return absl::StrCat(sample, ".", name, "@");
}

// The value as a file can hold it: files know no complex numbers.
at::Tensor ToStored(const at::Tensor& value, std::optional<at::ScalarType> dtype) {
  at::Tensor stored = value.detach().to(at::kCPU);
  if (stored.is_complex()) {
    stored = at::view_as_real(stored.resolve_conj());
  } else if (dtype.has_value() && stored.is_floating_point()) {
    stored = stored.to(*dtype);
  }
  stored = stored.contiguous();
  // A small part of something large would keep all of it in memory.
  return stored.storage().nbytes() > 2 * stored.nbytes() + 4096 ? stored.clone() : stored;
}

}  // namespace

absl::Status ActivationWriter::Add(const Values& values) {
  const int64_t sample = samples_++;
  for (const auto& [name, value] : values) {
    std::vector<int64_t>& owners = owners_[name];
    owners.resize(static_cast<size_t>(samples_), -1);
    if (!value.defined()) continue;
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor stored,
                             CatchTorch([&] { return ToStored(value, dtype_); }));
    const int kind = static_cast<int>(value.scalar_type());
    owners.back() = sample;
    if (share_) {
      Sha256 hash;
      hash.Update(absl::StrCat(name, "@", kind, ":", absl::StrJoin(stored.sizes(), ","), ":"));
      hash.Update(
          absl::string_view(static_cast<const char*>(stored.const_data_ptr()), stored.nbytes()));
      const auto [found, is_new] = by_hash_.emplace(hash.Finish(), sample);
      owners.back() = found->second;
      if (!is_new) continue;
    }
    pending_bytes_ += static_cast<int64_t>(stored.nbytes());
    pending_.push_back({absl::StrCat(ValuePrefix(sample, name), kind), stored});
  }
  return pending_bytes_ >= pack_bytes_ ? Flush() : absl::OkStatus();
}

absl::Status ActivationWriter::Flush() {
  if (pack_begin_ == samples_) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(
      WriteSafetensors(env_, JoinPath(dir_, PackName(pack_begin_)), pending_).status());
  pending_.clear();
  pending_bytes_ = 0;
  pack_begin_ = samples_;
  return absl::OkStatus();
}

absl::Status ActivationWriter::Finish() {
  WANLITE_RETURN_IF_ERROR(Flush());
  std::vector<NamedTensor> index;
  for (auto& [name, owners] : owners_) {
    owners.resize(static_cast<size_t>(samples_), -1);
    index.push_back({name, at::tensor(owners, at::kLong)});
  }
  return WriteSafetensors(env_, JoinPath(dir_, kIndexFile), index).status();
}

absl::StatusOr<std::unique_ptr<ActivationReader>> ActivationReader::Open(Env& env,
                                                                         std::string dir) {
  std::unique_ptr<ActivationReader> reader(new ActivationReader(env, std::move(dir)));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(reader->dir_));
  for (absl::string_view name : names) {
    int64_t first = 0;
    if (!absl::ConsumeSuffix(&name, kPackEnding) || !absl::SimpleAtoi(name, &first)) continue;
    reader->packs_.push_back(first);
  }
  std::sort(reader->packs_.begin(), reader->packs_.end());
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorSource> index,
                           OpenSafetensors(env, JoinPath(reader->dir_, kIndexFile)));
  for (const TensorInfo& info : index->tensors()) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor owners, index->Read(info.name));
    if (owners.scalar_type() != at::kLong || owners.dim() != 1) {
      return absl::DataLossError(absl::StrCat(reader->dir_, ": a damaged index"));
    }
    const int64_t* begin = owners.const_data_ptr<int64_t>();
    reader->owners_[info.name].assign(begin, begin + owners.numel());
  }
  return reader;
}

absl::Status ActivationReader::Read(int64_t sample, Values& values) {
  for (const auto& [name, owners] : owners_) {
    if (sample < 0 || static_cast<size_t>(sample) >= owners.size()) {
      return absl::OutOfRangeError(
          absl::StrCat(dir_, ": holds ", owners.size(), " samples, none is number ", sample));
    }
    const int64_t owner = owners[static_cast<size_t>(sample)];
    if (owner < 0) {
      values.erase(name);
    } else {
      WANLITE_RETURN_IF_ERROR(ReadValue(owner, name, values[name]));
    }
  }
  return absl::OkStatus();
}

absl::Status ActivationReader::ReadValue(int64_t sample, const std::string& name,
                                         at::Tensor& value) {
  const auto after = std::upper_bound(packs_.begin(), packs_.end(), sample);
  if (after == packs_.begin()) {
    return absl::DataLossError(absl::StrCat(dir_, ": no file holds sample ", sample));
  }
  const int64_t pack = *(after - 1);
  if (pack != open_pack_) {
    source_ = nullptr;
    WANLITE_ASSIGN_OR_RETURN(source_, OpenSafetensors(env_, JoinPath(dir_, PackName(pack))));
    open_pack_ = pack;
  }
  const std::string prefix = ValuePrefix(sample, name);
  const std::vector<TensorInfo>& infos = source_->tensors();
  const auto found = std::lower_bound(
      infos.begin(), infos.end(), prefix,
      [](const TensorInfo& info, const std::string& wanted) { return info.name < wanted; });
  absl::string_view kind = found == infos.end() ? absl::string_view() : found->name;
  int dtype = 0;
  if (!absl::ConsumePrefix(&kind, prefix) || !absl::SimpleAtoi(kind, &dtype)) {
    return absl::DataLossError(
        absl::StrCat(dir_, ": the value ", name, " of sample ", sample, " is missing"));
  }
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor stored, source_->Read(found->name));
  return CatchTorch([&] {
    const auto wanted = static_cast<at::ScalarType>(dtype);
    value = at::isComplexType(wanted) ? at::view_as_complex(stored.clone()) : stored.to(wanted);
  });
}

}  // namespace wanlite
