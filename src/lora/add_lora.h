// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_LORA_ADD_LORA_H_
#define WANLITE_SRC_LORA_ADD_LORA_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class AddLoraOptions;

absl::StatusOr<std::unique_ptr<Pass>> MakeAddLora(const AddLoraOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_LORA_ADD_LORA_H_
