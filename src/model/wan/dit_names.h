// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The diffusers names of the transformer's tensors.
#ifndef WANLITE_SRC_MODEL_WAN_DIT_NAMES_H_
#define WANLITE_SRC_MODEL_WAN_DIT_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite::wan {

// "blocks.3.self_attn.q.weight" -> "blocks.3.attn1.to_q.weight". The two schemes give the names
// norm2 and norm3 to each other's norms; what follows a layer's path ("weight_scale", say) is kept.
// A name that is none of the transformer's comes back unchanged.
std::string DitDiffusersName(absl::string_view original);

// True for the tensor names of a Wan transformer, all under original or all under diffusers names.
bool IsDit(const std::vector<std::string>& names);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_DIT_NAMES_H_
