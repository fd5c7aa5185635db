// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/norm_for.h"

#include <utility>

#include "src/core/libtorch.h"

namespace wanlite {
namespace {

// The form that all of them want, or null.
const InputForm* CommonForm(std::initializer_list<const nn::Linear*> readers) {
  const InputForm* common = nullptr;
  for (const nn::Linear* reader : readers) {
    const InputForm* form = reader->weight().input_form();
    if (form == nullptr || (common != nullptr && common->key() != form->key())) return nullptr;
    common = form;
  }
  return common;
}

bool WantsGradient(const LayerNormInput& norm) {
  return at::GradMode::is_enabled() &&
         (norm.x.requires_grad() || norm.weight.requires_grad() || norm.bias.requires_grad());
}

}  // namespace

Activation LayerNormFor(std::initializer_list<const nn::Linear*> readers,
                        const LayerNormInput& norm, c10::function_ref<at::Tensor()> floating) {
  const InputForm* form = CommonForm(readers);
  if (form != nullptr && !WantsGradient(norm)) {
    std::optional<QuantizedInput> made = form->QuantizeLayerNorm(norm);
    if (made.has_value()) {
      return Activation(*form, *std::move(made), norm.dtype, [norm] { return LayerNorm(norm); });
    }
  }
  return Activation(floating());
}

}  // namespace wanlite
