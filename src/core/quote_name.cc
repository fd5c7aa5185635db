// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/quote_name.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/core/input_limits.h"

namespace wanlite {

std::string CutText(absl::string_view text) {
  if (text.size() <= kMaxQuotedBytes) return std::string(text);
  size_t end = kMaxQuotedBytes;
  // Not inside a character of UTF-8.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "…");
}

std::string QuoteName(absl::string_view name) {
  const bool cut = name.size() > kMaxQuotedBytes;
  return absl::StrCat("'", absl::Utf8SafeCHexEscape(name.substr(0, kMaxQuotedBytes)),
                      cut ? "…'" : "'");
}

}  // namespace wanlite
