// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A hollow model of a model in memory, to plan on.
#ifndef WANLITE_SRC_MODEL_HOLLOW_TWIN_H_
#define WANLITE_SRC_MODEL_HOLLOW_TWIN_H_

#include "absl/status/statusor.h"
#include "wanlite/model_view.h"

namespace wanlite {

// The same components, blocks, linears, groups, tensors, shapes, dtypes and weight formats. Modules
// are built by Component::definition; where there is none they stand for those of `model`, without
// a forward. No more than one layer is copied at a time.
absl::StatusOr<ModelView> HollowTwin(const ModelView& model);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_HOLLOW_TWIN_H_
