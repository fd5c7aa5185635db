// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The two name schemes of the umT5 encoder, and its entry in the list of architectures.
#ifndef WANLITE_SRC_MODEL_WAN_UMT5_NAMES_H_
#define WANLITE_SRC_MODEL_WAN_UMT5_NAMES_H_

#include <string>

#include "wanlite/architecture.h"

namespace wanlite::wan {

// "blocks.3.ffn.gate.0.weight" -> "encoder.block.3.layer.1.DenseReluDense.wi_0.weight". A name that
// is none of the network's comes back unchanged; what follows the layer's name ("weight_scale") is
// kept.
std::string Umt5ToTransformers(const std::string& internal_name);

// "UMT5EncoderModel". T5 and mT5 are other networks (one position bias for all blocks).
Architecture Umt5Architecture();

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_UMT5_NAMES_H_
