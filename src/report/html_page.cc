// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/html_page.h"

#include "absl/strings/str_cat.h"

namespace wanlite::report {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the well-formed UTF-8 sequence at `at`, 0 when there is none (RFC 3629: no surrogates,
// no overlong forms), and the character.
size_t Sequence(absl::string_view text, size_t at, uint32_t* character) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80           ? 1
                        : (first >> 5) == 0x6  ? 2
                        : (first >> 4) == 0xE  ? 3
                        : (first >> 3) == 0x1E ? 4
                                               : 0;
  if (length == 0 || at + length > text.size()) return 0;
  uint32_t value = length == 1 ? first : first & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
    return 0;
  *character = value;
  return length;
}

size_t Columns(uint32_t c) {
  const bool wide = (c >= 0x1100 && c < 0x1160) || (c >= 0x2E80 && c < 0xD7A4) ||
                    (c >= 0xF900 && c < 0xFB00) || (c >= 0xFE30 && c < 0xFE70) ||
                    (c >= 0xFF00 && c < 0xFF61) || (c >= 0x1F300 && c < 0x1FB00) ||
                    (c >= 0x20000 && c < 0x40000);
  return wide ? 2 : 1;
}

}  // namespace

std::string Escape(absl::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t at = 0; at < text.size();) {
    uint32_t c = 0;
    const size_t length = Sequence(text, at, &c);
    const bool control = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0) ||
                         (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c < 0xFDF0);
    if (length == 0 || control) {
      absl::StrAppend(&out, kReplacement);
    } else if (c == '&') {
      absl::StrAppend(&out, "&amp;");
    } else if (c == '<') {
      absl::StrAppend(&out, "&lt;");
    } else if (c == '>') {
      absl::StrAppend(&out, "&gt;");
    } else if (c == '"') {
      absl::StrAppend(&out, "&quot;");
    } else if (c == '\'') {
      absl::StrAppend(&out, "&#39;");
    } else {
      absl::StrAppend(&out, text.substr(at, length));
    }
    at += length == 0 ? 1 : length;
  }
  return out;
}

std::string Quoted(absl::string_view text) { return absl::StrCat("<bdi>", Escape(text), "</bdi>"); }

size_t DisplayColumns(absl::string_view text) {
  size_t columns = 0;
  for (size_t at = 0; at < text.size();) {
    uint32_t c = 0;
    const size_t length = Sequence(text, at, &c);
    columns += Columns(c);
    at += length == 0 ? 1 : length;
  }
  return columns;
}

std::string Shortened(absl::string_view text, size_t columns) {
  if (DisplayColumns(text) <= columns) return std::string(text);
  size_t used = 0, at = 0;
  while (at < text.size()) {
    uint32_t c = 0;
    const size_t length = Sequence(text, at, &c);
    if (used + Columns(c) + 1 > columns) break;
    used += Columns(c);
    at += length == 0 ? 1 : length;
  }
  return absl::StrCat(text.substr(0, at), "\u2026");
}

std::string TableHtml(const Table& table, absl::string_view caption) {
  const auto align = [&](size_t column) {
    return column < table.text_columns ? "" : " class=\"n\"";
  };
  std::string out = "<div class=\"scroll\" tabindex=\"0\"><table>\n";
  if (!caption.empty()) absl::StrAppend(&out, "<caption>", Escape(caption), "</caption>\n");
  absl::StrAppend(&out, "<thead><tr>");
  for (size_t i = 0; i < table.head.size(); ++i) {
    absl::StrAppend(&out, "<th scope=\"col\"", align(i), ">", table.head[i], "</th>");
  }
  absl::StrAppend(&out, "</tr></thead>\n<tbody>\n");
  for (const Table::Row& row : table.rows) {
    if (row.heading) {
      absl::StrAppend(&out, "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"",
                      table.head.size(), "\">", row.cells.at(0), "</th></tr>\n");
      continue;
    }
    absl::StrAppend(&out, row.total ? "<tr class=\"total\">" : "<tr>");
    for (size_t i = 0; i < row.cells.size(); ++i) {
      absl::StrAppend(&out, i == 0 ? "<th scope=\"row\"" : "<td", align(i), ">", row.cells[i],
                      i == 0 ? "</th>" : "</td>");
    }
    absl::StrAppend(&out, "</tr>\n");
  }
  absl::StrAppend(&out, "</tbody></table></div>\n");
  return out;
}

std::string DefinitionsHtml(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string out = "<dl>\n";
  for (const auto& [what, value] : rows) {
    absl::StrAppend(&out, "<div><dt>", Escape(what), "</dt><dd>", value, "</dd></div>\n");
  }
  return out + "</dl>\n";
}

std::string AlertHtml(absl::string_view body) {
  return absl::StrCat("<div class=\"alert\" role=\"alert\">", body, "</div>\n");
}

std::string NoteHtml(absl::string_view body) {
  return absl::StrCat("<p class=\"note\">", body, "</p>\n");
}

std::string PageHtml(absl::string_view title, absl::string_view lead,
                     const std::vector<Section>& sections, absl::string_view footer) {
  std::string out = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      // A policy in the file itself: even markup that slipped through could load and run nothing.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
      Escape(title), "</title>\n<style>\n", StyleSheet(),
      "</style>\n</head>\n<body>\n<header>\n<h1>", Escape(title), "</h1>\n", lead,
      "<nav aria-label=\"Sections\">");
  for (const Section& section : sections) {
    absl::StrAppend(&out, "<a href=\"#", Escape(section.id), "\">", Escape(section.title), "</a> ");
  }
  absl::StrAppend(&out, "</nav>\n</header>\n<main>\n");
  for (const Section& section : sections) {
    absl::StrAppend(&out, "<section id=\"", Escape(section.id), "\">\n<h2>", Escape(section.title),
                    "</h2>\n", section.body, "</section>\n");
  }
  absl::StrAppend(&out, "</main>\n<footer>", footer, "</footer>\n</body>\n</html>\n");
  return out;
}

}  // namespace wanlite::report
