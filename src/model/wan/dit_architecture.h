// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#ifndef WANLITE_SRC_MODEL_WAN_DIT_ARCHITECTURE_H_
#define WANLITE_SRC_MODEL_WAN_DIT_ARCHITECTURE_H_

#include <string>

#include "wanlite/architecture.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {

// How model folders name, build and describe the diffusion transformer (see wan::Dit).
Architecture DitArchitecture();

// config.json as the original project writes it (class WanModel), which ParseDitConfig() also
// reads.
std::string DitOriginalConfigJson(const DitConfig& config);

// The config that the tensors' shapes imply, of a transformer of a published width: those have 128
// channels a head.
absl::StatusOr<DitConfig> DitConfigOfShapes(const TensorShapes& shapes);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_DIT_ARCHITECTURE_H_
