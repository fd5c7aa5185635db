// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/number_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace wanlite::report {
namespace {

std::string TrueMinus(const std::string& text) {
  return absl::StrReplaceAll(text, {{"-", "\u2212"}});
}

std::string Printed(const char* format, int digits, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, digits, value);
  return text;
}

// "-0.00" says less than nothing.
double WithoutNegativeZero(double value, int decimals) {
  return std::abs(value) < 0.5 * std::pow(10.0, -decimals) ? 0.0 : value;
}

Unit UnitOf(double largest, const std::vector<std::string>& names) {
  Unit unit{1, names.front()};
  for (size_t i = 1; i < names.size() && largest / unit.size >= 1000; ++i) {
    unit = {unit.size * 1000, names[i]};
  }
  return unit;
}

}  // namespace

std::string NotMeasured() { return absl::StrCat("<span class=\"none\">", kNotMeasured, "</span>"); }

int DecimalsFor(double value) {
  const double size = std::abs(value);
  if (!std::isfinite(size) || size < 1e-12) return 2;
  return std::clamp(3 - static_cast<int>(std::floor(std::log10(size))), 0, 8);
}

std::string Number(double value, int digits) {
  if (!std::isfinite(value)) return NotMeasured();
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size < 1e-4 || size >= 1e9) {
    // 1.23·10⁻⁷ would need superscripts that many fonts lack.
    return TrueMinus(Printed("%.*e", std::max(digits - 1, 0), value));
  }
  const int magnitude = static_cast<int>(std::floor(std::log10(size)));
  return Fixed(value, std::clamp(digits - 1 - magnitude, 0, 8));
}

std::string Fixed(double value, int decimals) {
  if (!std::isfinite(value)) return NotMeasured();
  return TrueMinus(Printed("%.*f", decimals, WithoutNegativeZero(value, decimals)));
}

std::string Signed(double value, int decimals) {
  if (!std::isfinite(value)) return NotMeasured();
  const double shown = WithoutNegativeZero(value, decimals);
  return absl::StrCat(shown > 0 ? "+" : "", Fixed(shown, decimals));
}

std::string Ratio(double b, double a, int decimals) {
  if (!std::isfinite(a) || !std::isfinite(b) || a <= 0) return NotMeasured();
  return absl::StrCat("\u00d7", Fixed(b / a, decimals));
}

std::string Percent(double share, int decimals) {
  if (!std::isfinite(share)) return NotMeasured();
  return absl::StrCat(Fixed(100 * share, decimals), "\u00a0%");
}

std::string IntervalText(const Interval& interval, int decimals) {
  if (!std::isfinite(interval.low) || !std::isfinite(interval.high) ||
      interval.low >= interval.high) {
    return "";
  }
  return absl::StrCat("[", Fixed(interval.low, decimals), ", ", Fixed(interval.high, decimals),
                      "]");
}

Interval ShareInterval(double share, int64_t count) {
  constexpr double kZ = 1.959964;
  const double n = static_cast<double>(count);
  const double centre = (share + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half =
      kZ / (1 + kZ * kZ / n) * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

Unit BytesUnit(double largest) { return UnitOf(largest, {"B", "kB", "MB", "GB", "TB"}); }

Unit OperationsUnit(double largest, absl::string_view name) {
  std::vector<std::string> names;
  for (const char* prefix : {"", "k", "M", "G", "T", "P", "E"}) {
    names.push_back(absl::StrCat(prefix, name));
  }
  return UnitOf(largest, names);
}

Unit SecondsUnit(double largest) {
  if (largest < 1) return {1e-3, "ms"};
  if (largest < 600) return {1, "s"};
  return {60, "min"};
}

}  // namespace wanlite::report
