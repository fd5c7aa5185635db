// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Sums of squares of what rounding changes, in one pass over the matrix.
#ifndef WANLITE_SRC_QUANT_QUANTIZATION_ERROR_H_
#define WANLITE_SRC_QUANT_QUANTIZATION_ERROR_H_

#include <ATen/core/Tensor.h>

#include "absl/functional/function_ref.h"
#include "src/quant/weight_quantizer.h"

namespace wanlite {

// Adds the rows of `wanted`, fp32, bf16 or fp16 [n, in] on the CPU, and their distances from what
// was kept of them: kept(row, out) writes the values of a row to out, fp32 [in], and may be called
// on several threads. The same sums whatever their number.
void AddErrors(const at::Tensor& wanted, absl::FunctionRef<void(int64_t row, float* out)> kept,
               QuantizationError& sums);
// The same where codes * scale was kept; codes: int8 [n, in], scale: fp32 [n, 1].
void AddErrors(const at::Tensor& wanted, const at::Tensor& codes, const at::Tensor& scale,
               QuantizationError& sums);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZATION_ERROR_H_
