// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Numbers as a report shows them. What is missing or not finite reads "not measured", never 0.
#ifndef WANLITE_SRC_REPORT_NUMBER_TEXT_H_
#define WANLITE_SRC_REPORT_NUMBER_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "src/metrics/frechet.h"

namespace wanlite::report {

inline constexpr absl::string_view kNotMeasured = "not measured";
// The same, marked up.
std::string NotMeasured();

// `digits` significant digits, in decimal notation from 1e-4 to 1e9, with a true minus sign. Markup
// (kNotMeasured) when not finite.
std::string Number(double value, int digits = 4);
// Digits after the point.
std::string Fixed(double value, int decimals);
// "+1.2", "−0.3", "0.0".
std::string Signed(double value, int decimals);
// "×0.690" of b to a; not measured unless both are finite and a is positive.
std::string Ratio(double b, double a, int decimals = 2);
// "28.1 %" of a share in [0, 1].
std::string Percent(double share, int decimals = 1);
// "[1.2, 3.4]"; empty when not finite or without width.
std::string IntervalText(const Interval& interval, int decimals);
// Decimals that show about four significant digits of a value of this size.
int DecimalsFor(double value);

// Wilson score interval of a share of `count` trials at 95 %. count >= 1.
Interval ShareInterval(double share, int64_t count);

// A unit and how many base units it holds, so that `largest` has one to three digits before the
// point.
struct Unit {
  double size = 1;
  std::string name;
};
Unit BytesUnit(double largest);
Unit OperationsUnit(double largest, absl::string_view name = "FLOP");
Unit SecondsUnit(double largest);

}  // namespace wanlite::report

#endif  // WANLITE_SRC_REPORT_NUMBER_TEXT_H_
