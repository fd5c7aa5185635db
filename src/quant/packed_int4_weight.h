// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// An INT4 weight with INT8 inputs whose codes lie as the machine's kernels read them.
#ifndef WANLITE_SRC_QUANT_PACKED_INT4_WEIGHT_H_
#define WANLITE_SRC_QUANT_PACKED_INT4_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "wanlite/linear_weight.h"

namespace wanlite {

// See LinearWeight::Packed(). weight, weight_scale, zero (undefined for none): those of `original`,
// of the format "int4". Null where the kernels do not take its groups.
std::unique_ptr<LinearWeight> MakePackedInt4Weight(const at::Tensor& weight,
                                                   const at::Tensor& weight_scale,
                                                   const at::Tensor& zero,
                                                   const LinearWeight& original);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_PACKED_INT4_WEIGHT_H_
