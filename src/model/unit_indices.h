// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_MODEL_UNIT_INDICES_H_
#define WANLITE_SRC_MODEL_UNIT_INDICES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "wanlite/topology.h"

namespace wanlite {

// Where units of a group are along the ref's dimension: int64 [n * repeat * outer]. units: of the
// group. which: int64 [n].
at::Tensor UnitIndices(const AxisRef& ref, int64_t units, const at::Tensor& which);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_UNIT_INDICES_H_
