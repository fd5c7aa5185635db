// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Cutting weights whose input features belong to groups.
#ifndef WANLITE_SRC_MODEL_SELECT_GROUPS_H_
#define WANLITE_SRC_MODEL_SELECT_GROUPS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// The groups, int64 [n / group], that the features in `index`, int64 [n], make up; Unimplemented,
// in the name of `what` ("an int8 weight rotated"), when they split or mix one.
absl::StatusOr<at::Tensor> WholeGroups(absl::string_view what, const at::Tensor& index,
                                       int64_t group);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_SELECT_GROUPS_H_
