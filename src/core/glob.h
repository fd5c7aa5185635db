// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Glob patterns over tensor and layer paths.
#ifndef WANLITE_SRC_CORE_GLOB_H_
#define WANLITE_SRC_CORE_GLOB_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite {

// True when the whole of `text` fits the pattern: '*' stands for any run of characters, dots
// included and possibly empty; '?' for any one; everything else for itself.
bool GlobMatch(absl::string_view pattern, absl::string_view text);

// True when one of the patterns fits.
bool AnyGlobMatches(const std::vector<std::string>& patterns, absl::string_view text);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_GLOB_H_
