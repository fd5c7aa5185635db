// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/svg_canvas.h"

#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "src/report/html_page.h"
#include "src/report/number_text.h"

namespace wanlite::report {
namespace {

std::string Tooltip(absl::string_view text) {
  return text.empty() ? "" : absl::StrCat("<title>", Escape(text), "</title>");
}

}  // namespace

std::string Coordinate(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.2f", value);
  return text;
}

double TextWidth(absl::string_view text) { return 6.4 * static_cast<double>(DisplayColumns(text)); }

void SvgCanvas::Line(double x1, double y1, double x2, double y2, absl::string_view css) {
  absl::StrAppend(&body_, "<line class=\"", css, "\" x1=\"", Coordinate(x1), "\" y1=\"",
                  Coordinate(y1), "\" x2=\"", Coordinate(x2), "\" y2=\"", Coordinate(y2), "\"/>\n");
}

void SvgCanvas::Rect(double x, double y, double width, double height, absl::string_view css,
                     absl::string_view tooltip) {
  absl::StrAppend(&body_, "<rect class=\"", css, "\" x=\"", Coordinate(x), "\" y=\"", Coordinate(y),
                  "\" width=\"", Coordinate(width), "\" height=\"", Coordinate(height),
                  "\" rx=\"2\">", Tooltip(tooltip), "</rect>\n");
}

void SvgCanvas::Polyline(const std::vector<std::pair<double, double>>& points,
                         absl::string_view css) {
  absl::StrAppend(&body_, "<polyline class=\"", css, "\" points=\"");
  for (const auto& [x, y] : points) {
    absl::StrAppend(&body_, Coordinate(x), ",", Coordinate(y), " ");
  }
  absl::StrAppend(&body_, "\"/>\n");
}

void SvgCanvas::Text(double x, double y, absl::string_view text, absl::string_view anchor,
                     absl::string_view css) {
  absl::StrAppend(&body_, "<text x=\"", Coordinate(x), "\" y=\"", Coordinate(y),
                  "\" text-anchor=\"", anchor, "\"");
  if (!css.empty()) absl::StrAppend(&body_, " class=\"", css, "\"");
  absl::StrAppend(&body_, ">", Escape(text), "</text>\n");
}

void SvgCanvas::VerticalText(double x, double y, absl::string_view text, absl::string_view css) {
  absl::StrAppend(&body_, "<text transform=\"translate(", Coordinate(x), " ", Coordinate(y),
                  ") rotate(-90)\" text-anchor=\"middle\" class=\"", css, "\">", Escape(text),
                  "</text>\n");
}

void SvgCanvas::Marker(double x, double y, int series, absl::string_view tooltip) {
  const std::string css = SeriesClass('f', series);
  const auto at = [&](double dx, double dy) {
    return absl::StrCat(Coordinate(x + dx), ",", Coordinate(y + dy), " ");
  };
  std::string points;
  switch (series % 5) {
    case 1:
      break;  // a circle
    case 2:
      points = absl::StrCat(at(-4.6, -4.6), at(4.6, -4.6), at(4.6, 4.6), at(-4.6, 4.6));
      break;
    case 3:
      points = absl::StrCat(at(0, -6), at(5.8, 4.6), at(-5.8, 4.6));
      break;
    case 4:
      points = absl::StrCat(at(0, 6), at(5.8, -4.6), at(-5.8, -4.6));
      break;
    default:
      points = absl::StrCat(at(0, -6.4), at(6.4, 0), at(0, 6.4), at(-6.4, 0));
  }
  if (points.empty()) {
    absl::StrAppend(&body_, "<circle class=\"", css, "\" cx=\"", Coordinate(x), "\" cy=\"",
                    Coordinate(y), "\" r=\"5\">", Tooltip(tooltip), "</circle>\n");
  } else {
    absl::StrAppend(&body_, "<polygon class=\"", css, "\" points=\"", points, "\">",
                    Tooltip(tooltip), "</polygon>\n");
  }
}

void SvgCanvas::HorizontalWhisker(double x1, double x2, double y) {
  absl::StrAppend(&body_, "<path class=\"whisker\" d=\"M", Coordinate(x1), " ", Coordinate(y - 4),
                  "v8m0-4H", Coordinate(x2), "m0-4v8\"/>\n");
}

void SvgCanvas::VerticalWhisker(double x, double y1, double y2) {
  absl::StrAppend(&body_, "<path class=\"whisker\" d=\"M", Coordinate(x - 4), " ", Coordinate(y1),
                  "h8m-4 0V", Coordinate(y2), "m-4 0h8\"/>\n");
}

std::string SvgCanvas::Html(absl::string_view title, absl::string_view description) const {
  return absl::StrCat("<figure><figcaption>", Escape(title), "</figcaption>\n<svg viewBox=\"0 0 ",
                      kChartWidth, " ", Coordinate(height_), "\" role=\"img\" aria-label=\"",
                      Escape(title), ". ", Escape(description), "\">\n<desc>", Escape(description),
                      "</desc>\n", body_, "</svg></figure>\n");
}

void PlotFrame::Draw(SvgCanvas* canvas) const {
  // Tick labels of an axis must not touch: every second is left out where they would.
  double widest = 0;
  for (double tick : x.axis.ticks) {
    widest = std::max(widest, TextWidth(Fixed(tick, x.axis.decimals)));
  }
  const double room = std::abs(x.end - x.start) / std::max<size_t>(x.axis.ticks.size() - 1, 1);
  const size_t every = widest + 8 > room ? 2 : 1;
  for (size_t i = 0; i < x.axis.ticks.size(); ++i) {
    const double at = x(x.axis.ticks[i]);
    canvas->Line(at, y.start, at, y.end, "grid-line");
    if (i % every == 0) {
      canvas->Text(at, y.start + 16, Fixed(x.axis.ticks[i], x.axis.decimals), "middle", "m");
    }
  }
  for (double tick : y.axis.ticks) {
    canvas->Line(x.start, y(tick), x.end, y(tick), "grid-line");
    canvas->Text(std::min(x.start, x.end) - 6, y(tick) + 4, Fixed(tick, y.axis.decimals), "end",
                 "m");
  }
  canvas->Line(x.start, y.start, x.end, y.start, "axis");
  canvas->Line(std::min(x.start, x.end), y.start, std::min(x.start, x.end), y.end, "axis");
  canvas->Text((x.start + x.end) / 2, y.start + 34, x_label, "middle", "m");
  canvas->VerticalText(12, (y.start + y.end) / 2, y_label, "m");
}

}  // namespace wanlite::report
