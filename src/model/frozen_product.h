// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Gradients of products with weights that do not train.
#ifndef WANLITE_SRC_MODEL_FROZEN_PRODUCT_H_
#define WANLITE_SRC_MODEL_FROZEN_PRODUCT_H_

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

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

// What Apply() of a weight that does not train gives: product(), with gradients as above where they
// may be asked for. make_matrix(): a `matrix` that outlives the weight.
template <typename Product, typename MakeMatrix>
at::Tensor FrozenProduct(const Activation& x, const std::optional<at::Tensor>& bias,
                         Product product, MakeMatrix make_matrix) {
  if (!WantsGradients(x, bias)) return product();
  at::Tensor y;
  {
    const at::NoGradGuard no_grad;
    y = product();
  }
  return ThroughFrozenMatrix(y, x.dense(), bias, make_matrix());
}

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_FROZEN_PRODUCT_H_
