// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pruning passes of this build.
#ifndef WANLITE_SRC_PRUNING_REGISTER_H_
#define WANLITE_SRC_PRUNING_REGISTER_H_

#include "wanlite/registry.h"

namespace wanlite {

absl::Status RegisterPruningPasses(PassRegistry& registry);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_REGISTER_H_
