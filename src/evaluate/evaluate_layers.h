// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What is stored in a model's linear layers, and the recipe that made it.
#ifndef WANLITE_SRC_EVALUATE_EVALUATE_LAYERS_H_
#define WANLITE_SRC_EVALUATE_EVALUATE_LAYERS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "src/evaluate/evaluate.h"
#include "wanlite/checkpoint.h"

namespace wanlite {

// All linears of a folder, against those of the original where it is given. Reads all weights of
// both, one block at a time.
absl::StatusOr<std::vector<LayerReport>> ReportLayers(const ModelFolder& folder,
                                                      const ModelFolder* original,
                                                      const CancellationToken* cancel);

// Of the folder's manifest; empty without one.
std::vector<LineageReport> ReportLineage(const ModelFolder& folder);

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_EVALUATE_LAYERS_H_
