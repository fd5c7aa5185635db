// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_MODEL_REST_BLOCK_H_
#define WANLITE_SRC_MODEL_REST_BLOCK_H_

#include <string>

#include "absl/strings/string_view.h"

namespace wanlite {

// The block that is a component's rest, outside its blocks: its name, or "root" without one.
inline std::string RestBlock(absl::string_view component) {
  return std::string(component.empty() ? "root" : component);
}

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_REST_BLOCK_H_
