// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Streaming writer of one safetensors file: the tensors are announced first, then handed over one
// at a time, so that memory holds one tensor whatever the size of the file.
#ifndef WANLITE_SRC_CHECKPOINT_SAFETENSORS_WRITER_H_
#define WANLITE_SRC_CHECKPOINT_SAFETENSORS_WRITER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/core/sha256.h"
#include "wanlite/env.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

using SafetensorsMetadata = std::vector<std::pair<std::string, std::string>>;

// Not thread-safe. The file appears at `path` by Finish(), atomically and durably (AtomicFile).
class SafetensorsWriter {
 public:
  // InvalidArgument for a name that is twice there or not UTF-8, or a dtype the format lacks.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      Env& env, absl::string_view path, std::vector<TensorInfo> tensors,
      const SafetensorsMetadata& metadata = {});
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // The order in which Append() wants them: by element size, widest first, and as given within one
  // size. So every tensor is aligned for its dtype, and readers can use the mapped file in place.
  const std::vector<TensorInfo>& order() const { return order_; }
  // The next tensor, with the announced dtype and shape; any device, any strides.
  absl::Status Append(const at::Tensor& tensor);
  // Publishes; returns the SHA-256 of the file in hexadecimal.
  absl::StatusOr<std::string> Finish();

  int64_t bytes() const { return bytes_; }  // written so far

 private:
  explicit SafetensorsWriter(std::string path) : path_(std::move(path)) {}
  absl::Status Write(absl::string_view data);

  std::string path_;
  std::vector<TensorInfo> order_;
  std::unique_ptr<AtomicFile> file_;
  Sha256 hash_;
  size_t next_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_SAFETENSORS_WRITER_H_
