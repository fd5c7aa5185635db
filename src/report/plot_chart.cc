// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "src/report/html_page.h"
#include "src/report/number_text.h"
#include "src/report/svg_canvas.h"
#include "src/report/svg_chart.h"

namespace wanlite::report {
namespace {

constexpr double kHeight = 320, kTop = 14, kBottom = kHeight - 44;
constexpr double kRight = kChartWidth - 16;

bool Finite(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

// What an axis must hold.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void Add(const std::optional<Interval>& whisker) {
    if (!whisker.has_value()) return;
    Add(whisker->low);
    Add(whisker->high);
  }
  bool empty() const { return low > high; }
};

PlotFrame Frame(const Range& x, const Range& y, bool x_descends) {
  PlotFrame frame;
  frame.x.axis = NiceAxis(x.low, x.high, 5);
  frame.y.axis = NiceAxis(y.low, y.high, 5);
  double widest = 0;
  for (double tick : frame.y.axis.ticks) {
    widest = std::max(widest, TextWidth(Fixed(tick, frame.y.axis.decimals)));
  }
  const double left = 30 + widest;
  frame.x.start = x_descends ? kRight : left;
  frame.x.end = x_descends ? left : kRight;
  frame.y.start = kBottom;
  frame.y.end = kTop;
  return frame;
}

std::string Empty(absl::string_view title) {
  return absl::StrCat("<figure><figcaption>", Escape(title), "</figcaption><p>", NotMeasured(),
                      "</p></figure>\n");
}

struct Box {
  double x1, y1, x2, y2;
  bool Meets(const Box& other) const {
    return x1 < other.x2 && other.x1 < x2 && y1 < other.y2 && other.y1 < y2;
  }
};

// Names beside points, where they cover neither a point nor another name; a name that has no such
// place is left to the tooltip and the table.
void LabelPoints(const std::vector<Point>& points, const PlotFrame& frame, SvgCanvas* canvas) {
  std::vector<Box> taken;
  for (const Point& point : points) {
    const double x = frame.x(point.x), y = frame.y(point.y);
    taken.push_back({x - 6, y - 6, x + 6, y + 6});
  }
  for (const Point& point : points) {
    const std::string label = Shortened(point.label, 22);
    const double width = TextWidth(label), x = frame.x(point.x), y = frame.y(point.y);
    const std::pair<double, double> places[] = {
        {x + 9, y + 4}, {x - 9 - width, y + 4}, {x - width / 2, y - 10}, {x - width / 2, y + 19},
        {x + 7, y - 9}, {x - 7 - width, y - 9}, {x + 7, y + 17},         {x - 7 - width, y + 17}};
    for (const auto& [left, base] : places) {
      const Box box{left, base - 10, left + width, base + 3};
      if (box.x1 < frame.x.start + 2 || box.x2 > kChartWidth || box.y1 < 2 || box.y2 > kBottom) {
        continue;
      }
      if (std::any_of(taken.begin(), taken.end(), [&](const Box& b) { return b.Meets(box); })) {
        continue;
      }
      canvas->Text(left, base, label, "start", "halo");
      taken.push_back(box);
      break;
    }
  }
}

// What the front dominates has this border: steps, since points between two models do not exist.
std::vector<std::pair<double, double>> Steps(const std::vector<Point>& points,
                                             const std::vector<size_t>& front,
                                             const PlotFrame& frame, bool y_higher_is_better) {
  std::vector<std::pair<double, double>> steps;
  const double worst = y_higher_is_better ? frame.y.start : frame.y.end;
  for (size_t i : front) {
    const double x = frame.x(points[i].x);
    steps.emplace_back(x, steps.empty() ? worst : steps.back().second);
    steps.emplace_back(x, frame.y(points[i].y));
  }
  if (!steps.empty()) steps.emplace_back(frame.x.end, steps.back().second);
  return steps;
}

}  // namespace

std::vector<size_t> ParetoFront(const std::vector<Point>& points, bool y_higher_is_better) {
  std::vector<size_t> order;
  for (size_t i = 0; i < points.size(); ++i) {
    if (Finite(points[i])) order.push_back(i);
  }
  const auto cost = [&](size_t i) { return y_higher_is_better ? -points[i].y : points[i].y; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return points[a].x != points[b].x ? points[a].x < points[b].x : cost(a) < cost(b);
  });
  std::vector<size_t> front;
  for (size_t i : order) {
    const bool same = !front.empty() && points[i].x == points[front.back()].x &&
                      points[i].y == points[front.back()].y;
    if (front.empty() || cost(i) < cost(front.back()) || same) front.push_back(i);
  }
  return front;
}

std::string ScatterChartHtml(const ScatterChart& chart) {
  std::vector<Point> points;
  Range x, y;
  for (const Point& point : chart.points) {
    if (!Finite(point)) continue;
    points.push_back(point);
    x.Add(point.x);
    y.Add(point.y);
    x.Add(point.x_whisker);
    y.Add(point.y_whisker);
  }
  if (points.empty()) return Empty(chart.title);
  if (chart.x_reference.has_value()) x.Add(*chart.x_reference);
  PlotFrame frame = Frame(x, y, false);
  frame.x_label = chart.x_label;
  frame.y_label = chart.y_label;
  SvgCanvas canvas(kHeight);
  frame.Draw(&canvas);
  if (chart.x_reference.has_value() && std::isfinite(*chart.x_reference)) {
    const double at = frame.x(*chart.x_reference);
    canvas.Line(at, kTop, at, kBottom, "ref");
    const bool left = at + TextWidth("original") + 4 > kChartWidth;
    canvas.Text(left ? at - 4 : at + 4, kTop + 10, "original", left ? "end" : "start", "m halo");
  }
  canvas.Polyline(
      Steps(points, ParetoFront(points, chart.y_higher_is_better), frame, chart.y_higher_is_better),
      "front");
  for (const Point& point : points) {
    const auto drawn = [](const std::optional<Interval>& w) {
      return w.has_value() && std::isfinite(w->low) && std::isfinite(w->high) && w->low < w->high;
    };
    if (drawn(point.x_whisker)) {
      canvas.HorizontalWhisker(frame.x(point.x_whisker->low), frame.x(point.x_whisker->high),
                               frame.y(point.y));
    }
    if (drawn(point.y_whisker)) {
      canvas.VerticalWhisker(frame.x(point.x), frame.y(point.y_whisker->low),
                             frame.y(point.y_whisker->high));
    }
  }
  for (const Point& point : points) {
    canvas.Marker(frame.x(point.x), frame.y(point.y), point.series,
                  absl::StrCat(point.label, ": ", Number(point.x), ", ", Number(point.y)));
  }
  LabelPoints(points, frame, &canvas);
  return canvas.Html(chart.title, chart.description);
}

std::string LineChartHtml(const LineChart& chart) {
  Range x, y;
  for (const Line& line : chart.lines) {
    for (const auto& [px, py] : line.points) {
      if (!std::isfinite(px) || !std::isfinite(py)) continue;
      x.Add(px);
      y.Add(py);
    }
  }
  if (x.empty()) return Empty(chart.title);
  PlotFrame frame = Frame(x, y, chart.x_descends);
  frame.x_label = chart.x_label;
  frame.y_label = chart.y_label;
  SvgCanvas canvas(kHeight);
  frame.Draw(&canvas);
  for (const auto& [at, label] : chart.marks) {
    if (!std::isfinite(at) || at < frame.x.axis.low || at > frame.x.axis.high) continue;
    const double px = frame.x(at);
    canvas.Line(px, kTop, px, kBottom, "ref");
    const bool left = px + TextWidth(label) + 4 > kChartWidth;
    canvas.Text(left ? px - 4 : px + 4, kBottom - 6, label, left ? "end" : "start", "m halo");
  }
  for (const Line& line : chart.lines) {
    std::vector<std::pair<double, double>> path;
    const auto draw = [&] {  // a value that is missing interrupts the line
      if (path.size() > 1) canvas.Polyline(path, "line " + SeriesClass('k', line.series));
      path.clear();
    };
    for (const auto& [px, py] : line.points) {
      if (std::isfinite(px) && std::isfinite(py)) {
        path.emplace_back(frame.x(px), frame.y(py));
      } else {
        draw();
      }
    }
    draw();
    for (const auto& [px, py] : line.points) {
      if (!std::isfinite(px) || !std::isfinite(py)) continue;
      canvas.Marker(frame.x(px), frame.y(py), line.series,
                    absl::StrCat(line.label, ": ", Number(px), ", ", Number(py, 6)));
    }
  }
  return canvas.Html(chart.title, chart.description);
}

}  // namespace wanlite::report
