// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/renamed_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/checkpoint/safetensors_format.h"

namespace wanlite {

absl::StatusOr<std::shared_ptr<const RenamedSource>> RenamedSource::Create(
    std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  std::shared_ptr<RenamedSource> result(new RenamedSource());
  result->infos_.reserve(entries.size());
  for (const Entry& entry : entries) {
    if (!result->infos_.empty() && result->infos_.back().name == entry.name) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", QuoteName(entry.name), " is there twice"));
    }
    const TensorInfo* info = entry.source->Find(entry.source_name);
    if (info == nullptr) {
      return absl::NotFoundError(absl::StrCat("no tensor ", QuoteName(entry.source_name)));
    }
    result->infos_.push_back({entry.name, info->dtype, info->shape});
  }
  result->entries_ = std::move(entries);
  return std::shared_ptr<const RenamedSource>(std::move(result));
}

absl::StatusOr<at::Tensor> RenamedSource::Read(absl::string_view name) const {
  const TensorInfo* info = Find(name);
  if (info == nullptr) return absl::NotFoundError(absl::StrCat("no tensor ", QuoteName(name)));
  const Entry& entry = entries_[static_cast<size_t>(info - infos_.data())];
  return entry.source->Read(entry.source_name);
}

void RenamedSource::Release(absl::string_view name) const {
  const TensorInfo* info = Find(name);
  if (info == nullptr) return;
  const Entry& entry = entries_[static_cast<size_t>(info - infos_.data())];
  entry.source->Release(entry.source_name);
}

}  // namespace wanlite
