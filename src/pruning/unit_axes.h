// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Where the units of a group are along the dimensions of its tensors.
#ifndef WANLITE_SRC_PRUNING_UNIT_AXES_H_
#define WANLITE_SRC_PRUNING_UNIT_AXES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "wanlite/model_view.h"
#include "wanlite/topology.h"

namespace wanlite {

// fp64 [n]: sums of |values| or of their squares over all dimensions but `dim`, of n indices.
at::Tensor SumsAlong(const at::Tensor& values, int64_t dim, bool squares);
// Of values of each index along the dimension of a ref [outer * units * repeat], sums over the
// indices of each unit [units].
at::Tensor SumOfUnits(const AxisGroup& group, const AxisRef& ref, const at::Tensor& values);
// A value for each unit [units], at the indices of each unit [outer * units * repeat].
at::Tensor AtUnits(const AxisGroup& group, const AxisRef& ref, const at::Tensor& values);

// Columns of linear layers that read what the group's units give.
std::vector<AxisRef> ReadersOf(const ModelView& model, const AxisGroup& group);
// Layers whose rows are the group's units, where a norm reduces over these: a unit that is removed
// does not count in it (AxisRole::kRmsNormalized).
std::vector<AxisRef> NormalizedWritersOf(const ModelView& model, const AxisGroup& group);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_UNIT_AXES_H_
