// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Numbers and tables for people.
#ifndef WANLITE_SRC_CORE_TEXT_TABLE_H_
#define WANLITE_SRC_CORE_TEXT_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace wanlite {

// "1.50 GB", decimal units.
std::string FormatBytes(int64_t bytes);
// "14.29 B", "4.3 M", "812".
std::string FormatCount(int64_t count);
// Operations as "1.678 PFLOP".
std::string FormatOps(double operations, const std::string& unit = "FLOP");
// `decimals` digits after the point.
std::string FormatFixed(double value, int decimals);
// "4 min 05 s", "12.3 s", "48 ms".
std::string FormatSeconds(double seconds);
// "x0.27" of b to a; "-" when a is zero.
std::string FormatRatio(double b, double a);

// First row is the heading; the first column is set left, others right. Ends with a newline.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_TEXT_TABLE_H_
