// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Whether the scales that were read with quantized weights can be scales.
#ifndef WANLITE_SRC_MODEL_CHECK_SCALES_H_
#define WANLITE_SRC_MODEL_CHECK_SCALES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"

namespace wanlite {

// InvalidArgument, naming layer and tensor, for a scale that is not finite, is negative, or is zero
// where inputs are divided by it, and for a zero scale of a group whose codes differ, since a group
// of zeros has one code. Reads the scales of the block's weights,
// and of all blocks for an empty path; of the codes only what has a zero scale.
absl::Status CheckScales(const ModelView& model, absl::string_view block = "");

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_CHECK_SCALES_H_
