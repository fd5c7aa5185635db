// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/activation.h"

#include "src/core/libtorch.h"
#include "src/ops/ops.h"

namespace wanlite {

std::optional<QuantizedInput> InputForm::QuantizeLayerNorm(const LayerNormInput&) const {
  return std::nullopt;
}

std::optional<QuantizedInput> InputForm::QuantizeRmsNorm(const RmsNormInput&) const {
  return std::nullopt;
}

std::optional<QuantizedInput> InputForm::QuantizeGelu(const GeluInput&) const {
  return std::nullopt;
}

at::Tensor LayerNorm(const LayerNormInput& norm) {
  return ops::LayerNorm(norm.x, norm.weight, norm.bias, norm.eps, norm.dtype);
}

at::Tensor RmsNorm(const RmsNormInput& norm) {
  return ops::RmsNorm(norm.x, norm.weight, norm.eps, norm.dtype);
}

at::Tensor Gelu(const GeluInput& gelu) {
  return ops::Gelu(gelu.x, gelu.gate.defined() ? std::optional(gelu.gate) : std::nullopt);
}

Activation::Activation(at::Tensor x) : dense_(std::move(x)) {
  TORCH_CHECK(dense_.defined(), "the input of a linear layer is undefined");
  dtype_ = dense_.scalar_type();
}

Activation::Activation(const InputForm& form, QuantizedInput made, at::ScalarType dtype,
                       std::function<at::Tensor()> dense)
    : dtype_(dtype), make_dense_(std::move(dense)) {
  TORCH_CHECK(made.values.defined() && make_dense_ != nullptr, "an activation in the form ",
              std::string(form.key()), " needs its values and a way to its floating tensor");
  forms_.emplace_back(form.key(), std::move(made));
}

const at::Tensor& Activation::dense() const {
  if (!dense_.defined()) dense_ = make_dense_();
  return dense_;
}

QuantizedInput Activation::In(const InputForm& form) const {
  for (const auto& [key, made] : forms_) {
    if (key == form.key()) return made;
  }
  return forms_.emplace_back(form.key(), form.Quantize(dense())).second;
}

}  // namespace wanlite
