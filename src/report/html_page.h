// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The parts every report page is made of: escaped text, tables, and a page that needs no other
// file.
#ifndef WANLITE_SRC_REPORT_HTML_PAGE_H_
#define WANLITE_SRC_REPORT_HTML_PAGE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite::report {

// Text of unknown origin, safe between tags and inside quoted attributes: the five special
// characters as entities; bytes that are no UTF-8 and control characters (except tab and newline)
// as U+FFFD.
std::string Escape(absl::string_view text);

// Text of unknown origin as an element of its own, so that its writing direction ends with it.
std::string Quoted(absl::string_view text);

// At most `columns` wide (wide East Asian characters count as two), the cut marked by an ellipsis.
// Works on valid and invalid UTF-8; not escaped.
std::string Shortened(absl::string_view text, size_t columns);
size_t DisplayColumns(absl::string_view text);

// A cell holds markup. Cells of the first column are row headings.
struct Table {
  std::vector<std::string> head;
  struct Row {
    std::vector<std::string> cells;
    bool heading = false;  // one cell over the whole width, opening a group of rows
    bool total = false;    // set off
  };
  std::vector<Row> rows;
  // How many columns from the left hold text, set left; numbers follow, set right.
  size_t text_columns = 1;
};
// Scrolls sideways in its own box where the page is too narrow. `caption`: text; empty for none.
std::string TableHtml(const Table& table, absl::string_view caption);

// Two columns: what and its value. Values are markup.
std::string DefinitionsHtml(const std::vector<std::pair<std::string, std::string>>& rows);

// A box that cannot be overlooked; markup.
std::string AlertHtml(absl::string_view body);
std::string NoteHtml(absl::string_view body);

struct Section {
  std::string id, title;  // id: of letters; title: text
  std::string body;       // markup
};
// A whole HTML5 document: style inside, no script, nothing loaded. `lead`: markup under the title.
std::string PageHtml(absl::string_view title, absl::string_view lead,
                     const std::vector<Section>& sections, absl::string_view footer);

// The style sheet of PageHtml(). Colours are variables, with a dark set by prefers-color-scheme.
absl::string_view StyleSheet();

}  // namespace wanlite::report

#endif  // WANLITE_SRC_REPORT_HTML_PAGE_H_
