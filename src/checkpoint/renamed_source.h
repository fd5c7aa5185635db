// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Tensors of other sources under names of one's own: shards as one, foreign names as ours,
// components as a model.
#ifndef WANLITE_SRC_CHECKPOINT_RENAMED_SOURCE_H_
#define WANLITE_SRC_CHECKPOINT_RENAMED_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

class RenamedSource final : public TensorSource {
 public:
  struct Entry {
    std::string name;
    std::shared_ptr<const TensorSource> source;
    std::string source_name;
  };
  // InvalidArgument when a name is there twice, NotFound when a source lacks its tensor.
  static absl::StatusOr<std::shared_ptr<const RenamedSource>> Create(std::vector<Entry> entries);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const override;
  void Release(absl::string_view name) const override;

 private:
  RenamedSource() = default;
  std::vector<TensorInfo> infos_;  // sorted by name
  std::vector<Entry> entries_;     // entries_[i] belongs to infos_[i]
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_RENAMED_SOURCE_H_
