// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/select_groups.h"

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite {

absl::StatusOr<at::Tensor> WholeGroups(absl::string_view what, const at::Tensor& index,
                                       int64_t group) {
  const at::Tensor features = index.cpu().contiguous();
  const int64_t* feature = features.const_data_ptr<int64_t>();
  const int64_t n = features.numel();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t start = i - i % group;
    if (feature[start] % group == 0 && feature[i] == feature[start] + i % group &&
        start + group <= n) {
      continue;
    }
    return absl::UnimplementedError(absl::StrCat(
        what, " in groups of ", group,
        " input features can only keep or drop whole groups; input feature ", feature[i],
        " would be parted from its group. Prune units earlier, or in multiples of ", group));
  }
  return features.slice(0, 0, n, group).floor_divide(group);
}

}  // namespace wanlite
