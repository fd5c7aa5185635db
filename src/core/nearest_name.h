// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// "did you mean …?"
#ifndef WANLITE_SRC_CORE_NEAREST_NAME_H_
#define WANLITE_SRC_CORE_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite {

// The candidate that `name` was probably meant to be: the same but for case, '-', '_' and a final
// "Options", or within a few typing errors (a third of its length, by edit distance). Empty when
// none is near.
std::string NearestName(absl::string_view name, const std::vector<std::string>& candidates);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_NEAREST_NAME_H_
