// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/html_page.h"
#include "src/report/number_text.h"
#include "tests/testing/catch.h"

#include <cmath>
#include <limits>

namespace wanlite::report {
namespace {

TEST_CASE("Text of unknown origin can close no tag and no attribute") {
  CHECK(Escape("<script>&\"'") == "&lt;script&gt;&amp;&quot;&#39;");
  CHECK(Escape("蓝色\n\t") == "蓝色\n\t");
  CHECK(Quoted("\u202Eabc") == "<bdi>\u202Eabc</bdi>");
}

TEST_CASE("Bytes that are no UTF-8 and control characters are replaced") {
  const std::string r = "\uFFFD";
  CHECK(Escape(absl::string_view("a\0b\x1B", 4)) == "a" + r + "b" + r);
  CHECK(Escape("\xC3") == r);  // cut off
  CHECK(Escape("\xC0\xBC"
               "x") == r + r + "x");                   // "<" in an overlong form
  CHECK(Escape("\xED\xA0\x80") == r + r + r);          // a surrogate
  CHECK(Escape("\xF4\x90\x80\x80") == r + r + r + r);  // beyond Unicode
  CHECK(Escape("\xE2\x3C\x62") == r + "&lt;b");        // a lead byte hides no "<"
}

TEST_CASE("Names are shortened by what they take on the page") {
  CHECK(Shortened("abcdef", 6) == "abcdef");
  CHECK(Shortened("abcdefg", 6) == "abcde\u2026");
  CHECK(DisplayColumns("蓝色") == 4);
  CHECK(Shortened("蓝色的数字", 5) == "蓝色\u2026");
}

TEST_CASE("Numbers that are missing are never zero") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  for (const std::string& text : {Number(nan), Number(infinity), Fixed(nan, 2),
                                  Signed(-infinity, 1), Ratio(1, nan), Ratio(1, 0), Percent(nan)}) {
    CHECK(text == NotMeasured());
  }
  CHECK(IntervalText({nan, 2}, 1).empty());
  CHECK(IntervalText({1, 1}, 1).empty());
}

TEST_CASE("Numbers keep their significant digits and a true minus") {
  CHECK(Number(0.00091036, 3) == "0.000910");
  CHECK(Number(1234.6, 3) == "1235");
  CHECK(Number(-41.29, 3) == "\u221241.3");
  CHECK(Number(1.5e-7, 2) == "1.5e\u221207");
  CHECK(Fixed(-0.001, 2) == "0.00");
  CHECK(Signed(0.001, 2) == "0.00");
  CHECK(Signed(1.25, 1) == "+1.2");
  CHECK(Ratio(0.69, 1) == "\u00d70.69");
  CHECK(IntervalText({-0.3, 2.6}, 1) == "[\u22120.3, 2.6]");
}

// 12 of 60: 0.118285 and 0.317818 by the formula of Wilson (1927), evaluated apart from this code.
TEST_CASE("Intervals of shares are Wilson's") {
  const Interval interval = ShareInterval(12.0 / 60, 60);
  CHECK(std::abs(interval.low - 0.118285) < 1e-6);
  CHECK(std::abs(interval.high - 0.317818) < 1e-6);
  CHECK(ShareInterval(0, 10).low == 0);
  CHECK(std::abs(ShareInterval(1, 10).high - 1) < 1e-12);
}

}  // namespace
}  // namespace wanlite::report
