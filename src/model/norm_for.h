// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What comes before a fan-out of linear layers: a norm, or the activation inside a feed-forward.
#ifndef WANLITE_SRC_MODEL_NORM_FOR_H_
#define WANLITE_SRC_MODEL_NORM_FOR_H_

#include <c10/util/FunctionRef.h>

#include <initializer_list>

#include "wanlite/activation.h"
#include "wanlite/nn.h"

namespace wanlite {

// The layer norm that all `readers` read. In their form straight away when they agree on one that a
// kernel makes of a norm and nobody asks for gradients; else what `floating` gives, which is the
// same norm in LibTorch's arithmetic, up to the rounding of fp32.
Activation LayerNormFor(std::initializer_list<const nn::Linear*> readers,
                        const LayerNormInput& norm, c10::function_ref<at::Tensor()> floating);
// The same of an RMS norm and of GELU.
Activation RmsNormFor(std::initializer_list<const nn::Linear*> readers, const RmsNormInput& norm,
                      c10::function_ref<at::Tensor()> floating);
Activation GeluFor(std::initializer_list<const nn::Linear*> readers, const GeluInput& gelu,
                   c10::function_ref<at::Tensor()> floating);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_NORM_FOR_H_
