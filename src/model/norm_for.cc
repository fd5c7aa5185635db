// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/norm_for.h"

#include <algorithm>
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

bool WantsGradient(std::initializer_list<at::Tensor> inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor& input) {
           return input.defined() && input.requires_grad();
         });
}

// The input of all `readers`: made by `quantize` in the form that they agree on, else by
// `floating`. `dense` gives the floating tensor of what `quantize` made.
template <typename QuantizeFn, typename DenseFn>
Activation MakeFor(std::initializer_list<const nn::Linear*> readers,
                   std::initializer_list<at::Tensor> inputs, at::ScalarType dtype,
                   QuantizeFn quantize, DenseFn dense, c10::function_ref<at::Tensor()> floating) {
  const InputForm* form = CommonForm(readers);
  if (form != nullptr && !WantsGradient(inputs)) {
    std::optional<QuantizedInput> made = quantize(*form);
    if (made.has_value()) return Activation(*form, *std::move(made), dtype, dense);
  }
  return Activation(floating());
}

}  // namespace

Activation LayerNormFor(std::initializer_list<const nn::Linear*> readers,
                        const LayerNormInput& norm, c10::function_ref<at::Tensor()> floating) {
  return MakeFor(
      readers, {norm.x, norm.weight, norm.bias}, norm.dtype,
      [&](const InputForm& form) { return form.QuantizeLayerNorm(norm); },
      [norm] { return LayerNorm(norm); }, floating);
}

Activation RmsNormFor(std::initializer_list<const nn::Linear*> readers, const RmsNormInput& norm,
                      c10::function_ref<at::Tensor()> floating) {
  return MakeFor(
      readers, {norm.x, norm.weight}, norm.dtype,
      [&](const InputForm& form) { return form.QuantizeRmsNorm(norm); },
      [norm] { return RmsNorm(norm); }, floating);
}

Activation GeluFor(std::initializer_list<const nn::Linear*> readers, const GeluInput& gelu,
                   c10::function_ref<at::Tensor()> floating) {
  return MakeFor(
      readers, {gelu.x, gelu.gate}, gelu.x.scalar_type(),
      [&](const InputForm& form) { return form.QuantizeGelu(gelu); }, [gelu] { return Gelu(gelu); },
      floating);
}

}  // namespace wanlite
