// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/text_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace wanlite {
namespace {

// value in [1, 1000) of one of the units, each a thousand of the one before.
std::string Scaled(double value, const std::vector<std::string>& units, int decimals) {
  size_t unit = 0;
  while (std::abs(value) >= 999.9995 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return absl::StrCat(FormatFixed(value, unit == 0 ? 0 : decimals), units[unit]);
}

// Columns on a terminal: UTF-8 continuation bytes take none.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

std::string FormatFixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

std::string FormatBytes(int64_t bytes) {
  return Scaled(static_cast<double>(bytes), {" B", " kB", " MB", " GB", " TB"}, 2);
}

std::string FormatCount(int64_t count) {
  return Scaled(static_cast<double>(count), {"", " k", " M", " B"}, 2);
}

std::string FormatOps(double operations, const std::string& unit) {
  return Scaled(operations,
                {" " + unit, " k" + unit, " M" + unit, " G" + unit, " T" + unit, " P" + unit}, 3);
}

std::string FormatSeconds(double seconds) {
  if (seconds < 1) return absl::StrCat(FormatFixed(seconds * 1000, 1), " ms");
  if (seconds < 120) return absl::StrCat(FormatFixed(seconds, 2), " s");
  const int64_t whole = std::llround(seconds);
  return absl::StrCat(whole / 60, " min ", whole % 60 < 10 ? "0" : "", whole % 60, " s");
}

std::string FormatRatio(double b, double a) {
  return a == 0 ? "-" : absl::StrCat("x", FormatFixed(b / a, 3));
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - Width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += i == 0 ? row[i] + padding : padding + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace wanlite
