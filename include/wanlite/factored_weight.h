// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_FACTORED_WEIGHT_H_
#define WANLITE_FACTORED_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// "factored": y = B (A x) + bias, a matrix that is a product of two thin ones. Tensors factor_a:
// floating [rank, in] and factor_b: floating [out, rank] of one dtype, rank >= 1; both compute, are
// cast with the model, and train. Computes in the wider of their dtype and the input's.
// InvalidArgument for tensors that do not fit each other.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFactoredWeight(const at::Tensor& a,
                                                                 const at::Tensor& b);

// The factory of the format; it has no attributes.
absl::StatusOr<std::unique_ptr<LinearWeight>> FactoredWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

}  // namespace wanlite

#endif  // WANLITE_FACTORED_WEIGHT_H_
