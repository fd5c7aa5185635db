// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_LORA_LOAD_LORA_H_
#define WANLITE_SRC_LORA_LOAD_LORA_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class LoadLoraOptions;

// Opens and hashes the files, so that a plan knows what they hold and a run knows them again. They
// stay open as long as the pass lives.
absl::StatusOr<std::unique_ptr<Pass>> MakeLoadLora(const LoadLoraOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_LORA_LOAD_LORA_H_
