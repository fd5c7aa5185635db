// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass smooth: divides features of inputs and multiplies the columns that read them, so that
// what follows quantizes both better. The model computes what it did.
#ifndef WANLITE_SRC_QUANT_SMOOTH_H_
#define WANLITE_SRC_QUANT_SMOOTH_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class SmoothOptions;

absl::StatusOr<std::unique_ptr<Pass>> MakeSmooth(const SmoothOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_SMOOTH_H_
