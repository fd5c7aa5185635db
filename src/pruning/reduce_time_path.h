// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass reduce-time-path: what only the timestep feeds moves on a curve, along which wide layers
// are products of two thin matrices.
#ifndef WANLITE_SRC_PRUNING_REDUCE_TIME_PATH_H_
#define WANLITE_SRC_PRUNING_REDUCE_TIME_PATH_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class ReduceTimePathOptions;

// InvalidArgument for a rank and a tolerance at once, and for values outside their ranges. Needs no
// samples: components say what their time path is and run it (wanlite/time_path.h), and the layers
// that it changes are outside all blocks, so that no block is read. A layer is left alone where its
// factors would be no smaller. Layers are reduced one after the other, each on what those before it
// give now.
//
// Lineage metrics: reduced_layers, parameters_before and parameters_after of the time path.
absl::StatusOr<std::unique_ptr<Pass>> MakeReduceTimePath(const ReduceTimePathOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_REDUCE_TIME_PATH_H_
