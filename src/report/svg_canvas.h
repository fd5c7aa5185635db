// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Drawing for the charts: elements at positions in the units of the view box.
#ifndef WANLITE_SRC_REPORT_SVG_CANVAS_H_
#define WANLITE_SRC_REPORT_SVG_CANVAS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/report/svg_chart.h"

namespace wanlite::report {

// One width for all charts: on a phone it is drawn at about its own size, so that texts stay
// readable, and on a wide page at most a quarter larger.
inline constexpr double kChartWidth = 420;

// A coordinate with two digits after the point. value: finite.
std::string Coordinate(double value);
// Columns as DisplayColumns() counts them, in units of the view box at 12 units a line.
double TextWidth(absl::string_view text);

class SvgCanvas {
 public:
  explicit SvgCanvas(double height) : height_(height) {}

  void Line(double x1, double y1, double x2, double y2, absl::string_view css);
  void Rect(double x, double y, double width, double height, absl::string_view css,
            absl::string_view tooltip = "");
  void Polyline(const std::vector<std::pair<double, double>>& points, absl::string_view css);
  // anchor: "start", "middle" or "end". text: not escaped yet.
  void Text(double x, double y, absl::string_view text, absl::string_view anchor,
            absl::string_view css = "");
  void VerticalText(double x, double y, absl::string_view text, absl::string_view css);
  // Each series has a shape of its own beside its colour.
  void Marker(double x, double y, int series, absl::string_view tooltip);
  void HorizontalWhisker(double x1, double x2, double y);
  void VerticalWhisker(double x, double y1, double y2);

  // The figure: caption, drawing, and for those who cannot see it the description.
  std::string Html(absl::string_view title, absl::string_view description) const;

 private:
  double height_;
  std::string body_;
};

// Where values of an axis lie on the canvas.
struct AxisScale {
  Axis axis;
  double start = 0, end = 1;  // where axis.low and axis.high are drawn
  double operator()(double value) const {
    return start + (value - axis.low) / (axis.high - axis.low) * (end - start);
  }
};

// Grid, ticks and labels of a plot with both axes.
struct PlotFrame {
  AxisScale x, y;
  std::string x_label, y_label;
  void Draw(SvgCanvas* canvas) const;
};

}  // namespace wanlite::report

#endif  // WANLITE_SRC_REPORT_SVG_CANVAS_H_
