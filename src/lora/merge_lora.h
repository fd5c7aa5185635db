// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_LORA_MERGE_LORA_H_
#define WANLITE_SRC_LORA_MERGE_LORA_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class MergeLoraOptions;

absl::StatusOr<std::unique_ptr<Pass>> MakeMergeLora(const MergeLoraOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_LORA_MERGE_LORA_H_
