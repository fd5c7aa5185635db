// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The input of linear layers as a value that remembers its quantized forms, so that layers that
// read one tensor (q, k and v; the two gates of a feed-forward) quantize it once, and a norm can
// hand it over quantized already.
#ifndef WANLITE_ACTIVATION_H_
#define WANLITE_ACTIVATION_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite {

// What a layer multiplies in place of its floating input.
struct QuantizedInput {
  at::Tensor values;  // codes: [..., in], or packed as the form says
  at::Tensor scale;   // undefined for a form without scales of its own
};

// y = (x - mean) / sqrt(variance + eps) * weight + bias over the last axis in fp32, rounded to
// `dtype`. x: floating [..., in]; weight, bias: fp32, of x's shape, or with ones in the last
// leading axes ([in], [batch, 1, in]).
struct LayerNormInput {
  at::Tensor x, weight, bias;
  double eps = 0;
  at::ScalarType dtype = at::kFloat;
};

// y = x / sqrt(mean(x^2) + eps) * weight over the last axis in fp32, rounded to `dtype`. x:
// floating
// [..., in]; weight: fp32 [in].
struct RmsNormInput {
  at::Tensor x, weight;
  double eps = 0;
  at::ScalarType dtype = at::kFloat;
};

// y = gelu(x) * gate, gelu(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) in fp32, rounded
// to x's dtype before and after it is gated. x: floating [..., in]; gate: of x's shape and dtype,
// or undefined for 1.
struct GeluInput {
  at::Tensor x, gate;
};

// How a weight wants its input. Immutable, thread-safe; lives as long as the weight that gave it.
class InputForm {
 public:
  virtual ~InputForm() = default;
  // Forms of equal keys make equal bits of equal inputs, and may so be shared: "int8_token". A form
  // with values of its own (static scales) has a hash of them in its key.
  virtual absl::string_view key() const = 0;
  // x: floating [..., in]. Takes no gradients.
  virtual QuantizedInput Quantize(const at::Tensor& x) const = 0;
  // Equal to Quantize(LayerNorm(norm)), to the bit, without the floating tensor between. Absent
  // where no kernel does it.
  virtual std::optional<QuantizedInput> QuantizeLayerNorm(const LayerNormInput& norm) const;
  // The same of RmsNorm() and Gelu().
  virtual std::optional<QuantizedInput> QuantizeRmsNorm(const RmsNormInput& norm) const;
  virtual std::optional<QuantizedInput> QuantizeGelu(const GeluInput& gelu) const;
};

// By the library's own kernels, whose bits do not depend on the instruction set. CPU only; take no
// gradients.
at::Tensor LayerNorm(const LayerNormInput& norm);
at::Tensor RmsNorm(const RmsNormInput& norm);
at::Tensor Gelu(const GeluInput& gelu);

// Lives within one forward, on one thread.
class Activation {
 public:
  // x: floating [..., in]. Implicit: a tensor is an activation that nobody has quantized yet.
  Activation(at::Tensor x);  // NOLINT(google-explicit-constructor)
  // Made in `form`; `dense` gives the floating tensor, of `dtype`, and is called when somebody asks
  // for it.
  Activation(const InputForm& form, QuantizedInput made, at::ScalarType dtype,
             std::function<at::Tensor()> dense);

  // The floating tensor [..., in].
  const at::Tensor& dense() const;
  // The input in a form, made when first asked for.
  QuantizedInput In(const InputForm& form) const;
  // Of the floating tensor, without making it; what was made without it takes no gradients.
  at::ScalarType dtype() const { return dtype_; }
  bool requires_grad() const { return dense_.defined() && dense_.requires_grad(); }

 private:
  at::ScalarType dtype_;
  mutable at::Tensor dense_;  // undefined until it is made
  std::function<at::Tensor()> make_dense_;
  mutable std::vector<std::pair<std::string, QuantizedInput>> forms_;  // by key; hardly ever two
};

}  // namespace wanlite

#endif  // WANLITE_ACTIVATION_H_
