// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The quantization passes of this build.
#ifndef WANLITE_SRC_QUANT_REGISTER_H_
#define WANLITE_SRC_QUANT_REGISTER_H_

#include "wanlite/registry.h"

namespace wanlite {

absl::Status RegisterQuantPasses(PassRegistry& registry);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_REGISTER_H_
