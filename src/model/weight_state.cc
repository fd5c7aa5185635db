// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/weight_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite {

absl::Status CheckTensors(absl::string_view what, const WeightState& state,
                          std::initializer_list<const char*> required,
                          std::initializer_list<const char*> optional) {
  for (const char* name : required) {
    const auto found = state.find(name);
    if (found == state.end() || !found->second.defined()) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " needs the tensor ", name, ", which is missing"));
    }
  }
  for (const auto& [name, tensor] : state) {
    const auto is = [&name = name](const char* known) { return name == known; };
    if (std::any_of(required.begin(), required.end(), is)) continue;
    if (!std::any_of(optional.begin(), optional.end(), is)) {
      return absl::InvalidArgumentError(absl::StrCat(what, " has no tensor ", name));
    }
    if (!tensor.defined()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tensor ", name, " of ", what, " holds nothing"));
    }
  }
  return absl::OkStatus();
}

}  // namespace wanlite
