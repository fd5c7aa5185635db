// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_QUANT_PACKED_MATRIX_H_
#define WANLITE_SRC_QUANT_PACKED_MATRIX_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace wanlite {

// The matrix [out, in], fp32, of a packed weight that nothing but its product can read.
// product(q, scale): fp32 [tokens, out] of int8 tokens [tokens, in] and their scales [tokens, 1].
at::Tensor MatrixOfProduct(
    int64_t out_features, int64_t in_features,
    absl::FunctionRef<at::Tensor(const at::Tensor& q, const at::Tensor& scale)> product);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_PACKED_MATRIX_H_
