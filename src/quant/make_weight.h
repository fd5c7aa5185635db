// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What weights of all formats do when they are made from a matrix or from a state.
#ifndef WANLITE_SRC_QUANT_MAKE_WEIGHT_H_
#define WANLITE_SRC_QUANT_MAKE_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/linear_weight.h"

namespace wanlite {

// `what` is the format in messages: "an int4 weight".

// InvalidArgument for anything but a floating CPU matrix [out, in].
absl::Status CheckDense(absl::string_view what, const at::Tensor& dense);

// OK when every row's flag is set; else InvalidArgument naming the first row without, and whether
// it holds a NaN or an infinity, or a value that is too large. rows_ok: bool [out].
absl::Status CheckRows(absl::string_view what, const at::Tensor& dense, const at::Tensor& rows_ok);

// The error of the matrix that `rounded` gives rows begin ... end - 1 of, fp32; it is called on
// several threads at once.
QuantizationError MeasureError(const at::Tensor& dense,
                               absl::FunctionRef<at::Tensor(int64_t begin, int64_t end)> rounded);

// The attributes {"activations": "int8"}, one of `known`; InvalidArgument for anything else.
absl::StatusOr<std::string> ParseActivations(absl::string_view what,
                                             absl::string_view attributes_json,
                                             const std::vector<std::string>& known);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_MAKE_WEIGHT_H_
