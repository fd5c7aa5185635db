// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the typed calls of ops.h are made of.
#ifndef WANLITE_SRC_OPS_CALL_OP_H_
#define WANLITE_SRC_OPS_CALL_OP_H_

#include <algorithm>
#include <cstddef>
#include <optional>
#include <type_traits>

#include "src/core/libtorch.h"

namespace wanlite::ops {

// A name as an argument of a template.
template <size_t kSize>
struct OpName {
  constexpr OpName(const char (&name)[kSize]) {  // NOLINT(google-explicit-constructor)
    std::copy_n(name, kSize, text);
  }
  char text[kSize];
};

// The operator "wanlite::kName" of kCall's signature, by the dispatcher.
template <OpName kName, auto kCall, typename... Args>
auto CallOp(const Args&... args) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow(kName.text, "")
                             .template typed<std::remove_pointer_t<decltype(kCall)>>();
  return op.call(args...);
}

inline void RefuseGradientOf(const char* op, const at::Tensor& input) {
  TORCH_CHECK(!(at::GradMode::is_enabled() && input.requires_grad()), "wanlite::", op,
              " has no gradient, but an input of shape ", input.sizes(),
              " requires one; run it under torch::NoGradGuard, or train on dense weights");
}
inline void RefuseGradientOf(const char* op, const std::optional<at::Tensor>& input) {
  if (input.has_value()) RefuseGradientOf(op, *input);
}
template <typename Other>
void RefuseGradientOf(const char*, const Other&) {}

// The Autograd kernel: where a gradient is asked for the result would silently be a leaf, and
// training would go on with no signal, so that is an error.
template <OpName kName, auto kCall>
struct NoGradient;
template <OpName kName, typename Result, typename... Args, Result (*kCall)(Args...)>
struct NoGradient<kName, kCall> {
  static Result Run(Args... args) {
    (RefuseGradientOf(kName.text, args), ...);
    at::AutoDispatchBelowAutograd below;
    return kCall(args...);
  }
};

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CALL_OP_H_
