// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Charts as inline SVG that take their colours from the page's style sheet. Every text of a chart
// is escaped here. Values that are not finite are left out of the drawing; where one was wanted,
// the chart says "not measured".
#ifndef WANLITE_SRC_REPORT_SVG_CHART_H_
#define WANLITE_SRC_REPORT_SVG_CHART_H_

#include <optional>
#include <string>
#include <vector>

#include "src/metrics/frechet.h"

namespace wanlite::report {

// Series 0 is the original; colours repeat after the sixth other.
inline constexpr int kRealClips = -1;
std::string SeriesClass(char prefix, int series);

struct Axis {
  double low = 0, high = 1;   // of the drawing, both on a tick
  std::vector<double> ticks;  // ascending
  int decimals = 0;           // that tell the ticks apart
};
// About `count` steps of 1, 2 or 5 times a power of ten around [low, high]. Both finite, low <=
// high.
Axis NiceAxis(double low, double high, int count);

struct Bar {
  std::string label;
  double value = 0;                 // not finite: not measured
  std::optional<Interval> whisker;  // drawn over the end of the bar
  std::string value_text;           // beside the label
  int series = 0;
};
struct BarChart {
  std::string title, description;
  std::string axis_label;
  std::vector<Bar> bars;
  // A dashed line to read the bars against.
  std::optional<double> reference;
};
// Horizontal bars from zero, each with its label above. `title` becomes the figure's caption.
std::string BarChartHtml(const BarChart& chart);

struct Point {
  std::string label;
  double x = 0, y = 0;
  std::optional<Interval> x_whisker, y_whisker;
  int series = 0;
};
// Points that no other beats in one coordinate without losing in the other, by ascending x. Smaller
// x is better. Points that are not finite never count.
std::vector<size_t> ParetoFront(const std::vector<Point>& points, bool y_higher_is_better);

struct ScatterChart {
  std::string title, description;
  std::string x_label, y_label;
  std::vector<Point> points;
  bool y_higher_is_better = false;
  // The original where it has no y of its own.
  std::optional<double> x_reference;
};
std::string ScatterChartHtml(const ScatterChart& chart);

struct Line {
  std::string label;
  std::vector<std::pair<double, double>> points;
  int series = 1;
};
struct LineChart {
  std::string title, description;
  std::string x_label, y_label;
  std::vector<Line> lines;
  bool x_descends = false;
  // Vertical lines with a label to their right.
  std::vector<std::pair<double, std::string>> marks;
};
std::string LineChartHtml(const LineChart& chart);

}  // namespace wanlite::report

#endif  // WANLITE_SRC_REPORT_SVG_CHART_H_
