// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What weights that wrap another have in common.
#ifndef WANLITE_SRC_MODEL_WRAP_WEIGHT_H_
#define WANLITE_SRC_MODEL_WRAP_WEIGHT_H_

#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/core/json_fields.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// {"base": {"format": "int8", "attributes": {…}}}, to which the format adds its own.
nlohmann::json WrapAttributes(const LinearWeight& base);

// The base that the attributes name, of the tensors in `state` but for the `added` ones.
// InvalidArgument when one of these is missing or undefined.
absl::StatusOr<std::unique_ptr<LinearWeight>> BaseFromState(
    const JsonFields& attributes, const WeightState& state,
    std::initializer_list<const char*> added, const WeightFormatRegistry& formats);

// InvalidArgument, in the name of `format`, without a base, or when it has a tensor of one of the
// suffixes.
absl::Status CheckBase(absl::string_view format, const LinearWeight* base,
                       std::initializer_list<const char*> added);

// index_select, of hollow tensors too.
at::Tensor SelectFrom(const at::Tensor& tensor, int64_t dim, const at::Tensor& index);

// All of it.
at::Tensor CopyOf(const at::Tensor& tensor);

// Whether a tensor of the weight is hollow.
bool IsHollowWeight(const LinearWeight& weight);

// The matrix of a weight as a dense one in the base's dtype if that is dense, else fp32; hollow
// when the weight is. InvalidArgument when a value does not fit the dtype.
absl::StatusOr<std::unique_ptr<LinearWeight>> MergeDense(const LinearWeight& weight,
                                                         const LinearWeight& base);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_WRAP_WEIGHT_H_
