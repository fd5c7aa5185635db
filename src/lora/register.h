// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_LORA_REGISTER_H_
#define WANLITE_SRC_LORA_REGISTER_H_

#include "absl/status/status.h"
#include "wanlite/registry.h"

namespace wanlite {

absl::Status RegisterLoraPasses(PassRegistry& registry);

}  // namespace wanlite

#endif  // WANLITE_SRC_LORA_REGISTER_H_
