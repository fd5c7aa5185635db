// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Gradients of products with weights that do not train.
#ifndef WANLITE_SRC_QUANT_FROZEN_PRODUCT_H_
#define WANLITE_SRC_QUANT_FROZEN_PRODUCT_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

#include "wanlite/activation.h"

namespace wanlite {

// Whether somebody may ask for gradients of a product.
bool WantsGradients(const Activation& x, const std::optional<at::Tensor>& bias);

// `y`, [..., out], with the gradients of x M^T + bias in x and bias: rounding of x passes them
// straight through. y must not take gradients by itself. matrix: gives M, fp32 [out, in], when
// gradients are computed.
at::Tensor ThroughFrozenMatrix(const at::Tensor& y, const at::Tensor& x,
                               const std::optional<at::Tensor>& bias,
                               std::function<at::Tensor()> matrix);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_FROZEN_PRODUCT_H_
