// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Tensors in messages.
#ifndef WANLITE_SRC_MODEL_TENSOR_TEXT_H_
#define WANLITE_SRC_MODEL_TENSOR_TEXT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "absl/types/span.h"

namespace wanlite {

// "[2, 3]"
std::string ShapeText(absl::Span<const int64_t> shape);
// Dtype and shape: "bf16 [2, 3]".
std::string TensorText(const at::Tensor& tensor);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_TENSOR_TEXT_H_
