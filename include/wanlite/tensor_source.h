// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Where tensors come from and go to. A source hands out named CPU tensors, usually straight from a
// mapped file; a model larger than memory is read through one, block after block.
#ifndef WANLITE_TENSOR_SOURCE_H_
#define WANLITE_TENSOR_SOURCE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

struct TensorInfo {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  int64_t bytes() const;  // of the stored values
};

// Read-only and thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // Every tensor it holds, sorted by name.
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  // nullptr when absent.
  const TensorInfo* Find(absl::string_view name) const;
  // A CPU tensor of the stored dtype and shape, the reader's own: writing to it changes neither the
  // file nor what others read. May be a part of the file, mapped. Valid as long as the tensor
  // lives. NotFound when absent.
  virtual absl::StatusOr<at::Tensor> Read(absl::string_view name) const = 0;
  // Hint that the pages behind tensor `name` may leave memory. Only call when no tensor of
  // Read(name) is in use.
  virtual void Release(absl::string_view name) const = 0;
  // Hint that tensor `name` will be read soon: what lies on a disk is brought into the system's
  // cache, which takes none of this process's memory. May wait for the disk. The default does
  // nothing.
  virtual void Prefetch(absl::string_view name) const {}
};

}  // namespace wanlite

#endif  // WANLITE_TENSOR_SOURCE_H_
