// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Names and texts from files as they may go into a message.
#ifndef WANLITE_SRC_CORE_QUOTE_NAME_H_
#define WANLITE_SRC_CORE_QUOTE_NAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace wanlite {

// Cut when long, with "…" at the cut.
std::string CutText(absl::string_view text);
// Quoted, escaped, cut when long.
std::string QuoteName(absl::string_view name);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_QUOTE_NAME_H_
