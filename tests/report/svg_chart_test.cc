// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "absl/strings/match.h"
#include "src/report/svg_chart.h"
#include "tests/testing/catch.h"

namespace wanlite::report {
namespace {

TEST_CASE("Axes hold their values between round ticks") {
  const Axis axis = NiceAxis(0, 9.89, 5);
  CHECK(axis.ticks == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(axis.decimals == 0);
  const Axis small = NiceAxis(0.99991, 0.99999, 4);
  CHECK(small.low <= 0.99991);
  CHECK(small.high >= 0.99999);
  CHECK(small.decimals == 5);
  CHECK(small.ticks.size() <= 7);
  for (double value : {5.0, 0.0, -3.0, 1e-9}) {
    const Axis one = NiceAxis(value, value, 5);
    CHECK(one.low < value);
    CHECK(one.high > value);
  }
}

TEST_CASE("The Pareto front keeps what no other model beats") {
  const std::vector<Point> points{{"dominated", 3, 5, {}, {}, 0},
                                  {"cheap", 1, 9, {}, {}, 0},
                                  {"good", 4, 1, {}, {}, 0},
                                  {"middle", 2, 4, {}, {}, 0},
                                  {"twin", 2, 4, {}, {}, 0},
                                  {"same price", 2, 6, {}, {}, 0},
                                  {"unknown", std::nan(""), 0, {}, {}, 0}};
  CHECK(ParetoFront(points, false) == std::vector<size_t>{1, 3, 4, 2});
  CHECK(ParetoFront(points, true) == std::vector<size_t>{1});
  CHECK(ParetoFront({}, false).empty());
}

TEST_CASE("A bar without a value says so and is not drawn") {
  BarChart chart{"Latency", "Median", "ms", {}, {}};
  chart.bars.push_back({"a", 3, Interval{2, 4}, "3 ms", 0});
  chart.bars.push_back({"b", std::nan(""), {}, "", 1});
  const std::string svg = BarChartHtml(chart);
  CHECK(absl::StrContains(svg, "not measured"));
  CHECK(absl::StrContains(svg, "class=\"f0\""));
  CHECK(!absl::StrContains(svg, "class=\"f1\""));
  CHECK(absl::StrContains(svg, "class=\"whisker\""));
}

TEST_CASE("Charts without any value say so") {
  CHECK(
      absl::StrContains(ScatterChartHtml({"size", "", "x", "y", {}, false, 3.0}), "not measured"));
  CHECK(absl::StrContains(
      LineChartHtml({"v", "", "x", "y", {{"a", {{1, std::nan("")}}}}, false, {}}), "not measured"));
  CHECK(absl::StrContains(BarChartHtml({"m", "", "x", {{"a", std::nan(""), {}, "", 0}}, {}}),
                          "not measured"));
}

TEST_CASE("Names in charts are escaped") {
  ScatterChart chart;
  chart.title = "<b>";
  chart.points.push_back({"<i>\"", 1, 1, {}, {}, 1});
  const std::string svg = ScatterChartHtml(chart);
  CHECK(!absl::StrContains(svg, "<b>"));
  CHECK(!absl::StrContains(svg, "<i>"));
}

TEST_CASE("A missing value interrupts a line") {
  LineChart chart;
  chart.lines.push_back({"a", {{4, 1}, {3, 2}, {2, std::nan("")}, {1, 3}, {0, 4}}});
  const std::string svg = LineChartHtml(chart);
  size_t lines = 0;
  for (size_t at = svg.find("<polyline"); at != std::string::npos;
       at = svg.find("<polyline", at + 1)) {
    ++lines;
  }
  CHECK(lines == 2);
}

}  // namespace
}  // namespace wanlite::report
