// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#ifndef WANLITE_SRC_MODEL_WAN_DIT_ARCHITECTURE_H_
#define WANLITE_SRC_MODEL_WAN_DIT_ARCHITECTURE_H_

#include "wanlite/architecture.h"

namespace wanlite::wan {

// How model folders name, build and describe the diffusion transformer (see wan::Dit).
Architecture DitArchitecture();

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_DIT_ARCHITECTURE_H_
