// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The product of weight-only formats: rows of the weight are expanded to fp32 some at a time, and
// LibTorch multiplies them.
#ifndef WANLITE_SRC_OPS_CPU_EXPANDED_PRODUCT_H_
#define WANLITE_SRC_OPS_CPU_EXPANDED_PRODUCT_H_

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <optional>

namespace wanlite::ops {

// Puts row `row` of the matrix, fp32 [k], into `out`. Called from several threads.
using RowExpander = c10::function_ref<void(int64_t row, float* out)>;

// x M^T + bias for M [n, k], summed in fp32. x: floating [..., k]; result: [..., n] in x's dtype.
// Temporary memory: 1 MiB of rows, 16 MiB for more than 64 tokens, and x and the result in fp32.
at::Tensor ExpandedProduct(const at::Tensor& x, int64_t n, RowExpander expand,
                           const std::optional<at::Tensor>& bias);

// M itself, fp32 [n, k].
at::Tensor ExpandRows(int64_t n, int64_t k, RowExpander expand);

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_EXPANDED_PRODUCT_H_
