// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the Wan pipelines do to a prompt before it is tokenized.
#ifndef WANLITE_SRC_MODEL_WAN_PROMPT_CLEANING_H_
#define WANLITE_SRC_MODEL_WAN_PROMPT_CLEANING_H_

#include <string>

namespace wanlite::wan {

// Replaces character references as HTML 5 reads them and Python's html.unescape does: "&eacute;",
// "&#233;", "&#xE9;", old names without the semicolon, Windows-1252 for 128 to 159.
std::string HtmlUnescape(const std::string& text);

// Runs of Unicode white space become one space; none stays at the ends. Bytes that are not UTF-8
// stay.
std::string CollapseWhitespace(const std::string& text);

// diffusers' prompt_clean: HtmlUnescape twice, then CollapseWhitespace. Its optional first step,
// ftfy's repair of wrongly decoded text ("schÃ¶n"), is not done.
std::string CleanPrompt(const std::string& text);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_PROMPT_CLEANING_H_
