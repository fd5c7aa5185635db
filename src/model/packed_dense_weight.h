// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_MODEL_PACKED_DENSE_WEIGHT_H_
#define WANLITE_SRC_MODEL_PACKED_DENSE_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <memory>

#include "wanlite/linear_weight.h"

namespace wanlite {

// The fp32 matrix [out, in] laid out once for LibTorch's oneDNN, whose product then need not do
// that at every call: LinearWeight::Packed() of a dense weight. Results differ from those of
// at::linear() by rounding. Null where this LibTorch or CPU has no such layout, and for matrices
// that are small, of another dtype, hollow or not on the CPU.
std::unique_ptr<LinearWeight> MakePackedDenseWeight(const at::Tensor& weight);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_PACKED_DENSE_WEIGHT_H_
