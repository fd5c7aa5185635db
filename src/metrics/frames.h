// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the metrics of one clip against another share.
#ifndef WANLITE_SRC_METRICS_FRAMES_H_
#define WANLITE_SRC_METRICS_FRAMES_H_

#include <ATen/core/Tensor.h>

#include <utility>

#include "absl/status/statusor.h"

namespace wanlite {

// Both clips as float64 on the CPU, uint8 scaled to [0, 1]. InvalidArgument when shapes differ, a
// clip is empty or holds NaN or infinity.
absl::StatusOr<std::pair<at::Tensor, at::Tensor>> ComparableClips(const at::Tensor& a,
                                                                  const at::Tensor& b);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_FRAMES_H_
