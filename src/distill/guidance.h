// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_DISTILL_GUIDANCE_H_
#define WANLITE_SRC_DISTILL_GUIDANCE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/pass.h"

namespace wanlite {

absl::StatusOr<std::unique_ptr<Pass>> MakeDistillGuidance(const DistillGuidanceOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_DISTILL_GUIDANCE_H_
