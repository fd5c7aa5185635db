// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/tensor_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/model/dump.h"

namespace wanlite {

std::string ShapeText(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::string TensorText(const at::Tensor& tensor) {
  return absl::StrCat(DtypeName(tensor.scalar_type()), " ", ShapeText(tensor.sizes()));
}

}  // namespace wanlite
