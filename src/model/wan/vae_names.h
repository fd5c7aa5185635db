// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The two name schemes of the VAE, and its entry in the list of architectures.
#ifndef WANLITE_SRC_MODEL_WAN_VAE_NAMES_H_
#define WANLITE_SRC_MODEL_WAN_VAE_NAMES_H_

#include <map>
#include <string>

#include "wanlite/architecture.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {

// Module path under original names -> path in diffusers, for every module that holds tensors or is
// a list element: {"decoder.upsamples.3", "decoder.up_blocks.0.upsamplers.0"}. Where layers are
// counted depends on the config.
std::map<std::string, std::string> VaeModuleNames(const VaeConfig& config);

// "decoder.upsamples.3.time_conv.weight" -> "decoder.up_blocks.0.upsamplers.0.time_conv.weight". A
// name that is none of the network's comes back unchanged.
TensorNames VaeTensorNames(const VaeConfig& config);
// For one name.
std::string VaeToDiffusers(const VaeConfig& config, const std::string& internal_name);

// "AutoencoderKLWan".
Architecture VaeArchitecture();

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_VAE_NAMES_H_
