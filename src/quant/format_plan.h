// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What passes that bring layers into a format have in common: their plan.
#ifndef WANLITE_SRC_QUANT_FORMAT_PLAN_H_
#define WANLITE_SRC_QUANT_FORMAT_PLAN_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/pass.h"
#include "wanlite/select_linears.h"

namespace wanlite {

// Notes of a pass that gives the selected layers the format, and what it takes beside the blocks:
// one layer's new weight and scratch(out, in) bytes. embeddings: the format of selected tables,
// where the filter takes them. InvalidArgument naming the layer for one that is not dense or cannot
// have the format.
absl::StatusOr<PassNotes> PlanFormat(const ModelView& model, const LinearFilter& filter,
                                     const WeightQuantizer& quantizer,
                                     const std::function<int64_t(int64_t out, int64_t in)>& scratch,
                                     const WeightQuantizer* embeddings = nullptr);

// Pass::ApplyPlan() of such a pass.
absl::Status ApplyFormat(ModelView& hollow, const LinearFilter& filter,
                         const WeightQuantizer& quantizer,
                         const WeightQuantizer* embeddings = nullptr);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_FORMAT_PLAN_H_
