// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What must hold around every pass, beside CheckInvariants() of wanlite/pipeline.h.
#ifndef WANLITE_SRC_PIPELINE_INVARIANTS_H_
#define WANLITE_SRC_PIPELINE_INVARIANTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "wanlite/model_view.h"

namespace wanlite {

// InvalidArgument naming the first tensor that holds a NaN or an infinity, and where.
absl::Status CheckFinite(const std::vector<NamedTensor>& tensors);

// Internal when `tensors`, the block as the pass left it in `model`, differ in names, shapes,
// dtypes or weight formats from the same block of `planned`.
absl::Status CheckPlanKept(const ModelView& model, const ModelView& planned,
                           const std::string& block, const std::vector<NamedTensor>& tensors);

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_INVARIANTS_H_
