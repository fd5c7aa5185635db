// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The one way by which stored values change their dtype.
#ifndef WANLITE_SRC_MODEL_CHECKED_CAST_H_
#define WANLITE_SRC_MODEL_CHECKED_CAST_H_

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// `value` in another floating dtype, detached. InvalidArgument, naming the tensor, value and place,
// when a finite value would become an infinity: a model with one gives NaN, and nothing else would
// notice. Infinities and NaN of `value` stay what they are; finding them is CheckFinite()'s work. A
// hollow tensor stays hollow.
absl::StatusOr<at::Tensor> CheckedCast(const at::Tensor& value, at::ScalarType dtype,
                                       absl::string_view name);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_CHECKED_CAST_H_
