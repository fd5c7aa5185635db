// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/tensor_source.h"

#include <c10/core/ScalarType.h>

#include <algorithm>

namespace wanlite {

int64_t TensorInfo::bytes() const {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  return numel * static_cast<int64_t>(c10::elementSize(dtype));
}

const TensorInfo* TensorSource::Find(absl::string_view name) const {
  const std::vector<TensorInfo>& all = tensors();
  const auto it = std::lower_bound(
      all.begin(), all.end(), name,
      [](const TensorInfo& info, absl::string_view wanted) { return info.name < wanted; });
  return it != all.end() && it->name == name ? &*it : nullptr;
}

}  // namespace wanlite
