// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Bounds-checked reader of one safetensors file. Nothing of a file is believed before it is
// checked: an opened file has a header that describes exactly the bytes that are there.
#ifndef WANLITE_SRC_CHECKPOINT_SAFETENSORS_READER_H_
#define WANLITE_SRC_CHECKPOINT_SAFETENSORS_READER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

// Immutable, thread-safe. Each tensor that is read maps its part of the file on its own, for as
// long as it lives; a small one, or one whose data is not aligned for its dtype, is copied.
class SafetensorsFile final : public TensorSource {
 public:
  // InvalidArgument names the file, the tensor, the found value and the wanted one.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Open(Env& env,
                                                                     absl::string_view path);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const override;
  void Release(absl::string_view name) const override;
  void Prefetch(absl::string_view name) const override;

  const std::string& path() const { return path_; }
  int64_t file_bytes() const { return static_cast<int64_t>(mapping_->data().size()); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // The stored bytes of infos()[index].
  absl::string_view Bytes(size_t index) const;

 private:
  SafetensorsFile() = default;
  // nullopt when absent.
  std::optional<size_t> IndexOf(absl::string_view name) const;

  std::string path_;
  std::shared_ptr<const FileMapping> mapping_;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorInfo> infos_;  // sorted by name
  std::vector<uint64_t> offsets_;  // of infos_[i] from the start of the file
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_SAFETENSORS_READER_H_
