// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/report/html_page.h"
#include "src/report/number_text.h"
#include "src/report/svg_canvas.h"
#include "src/report/svg_chart.h"

namespace wanlite::report {
namespace {

constexpr double kRow = 38;  // label above, bar below
constexpr double kBar = 13;
constexpr double kBarMargin = 14;  // room for half a tick label

bool Drawable(const std::optional<Interval>& whisker) {
  return whisker.has_value() && std::isfinite(whisker->low) && std::isfinite(whisker->high) &&
         whisker->low < whisker->high;
}

}  // namespace

std::string SeriesClass(char prefix, int series) {
  constexpr int kOthers = 6;
  if (series == kRealClips) return std::string(1, prefix) + "r";
  return absl::StrCat(std::string(1, prefix), series <= 0 ? 0 : 1 + (series - 1) % kOthers);
}

Axis NiceAxis(double low, double high, int count) {
  // A single value gets room on both sides.
  if (high - low < 1e-12 * std::max(std::abs(low), std::abs(high)) || high == low) {
    const double room = high == 0 ? 1 : std::abs(high) * 0.1;
    low -= room;
    high += room;
  }
  const double rough = (high - low) / std::max(count, 1);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double fraction = rough / power;
  const double step = power * (fraction < 1.5 ? 1 : fraction < 3.5 ? 2 : fraction < 7.5 ? 5 : 10);
  Axis axis;
  // The small share keeps a bound that is a tick already from gaining one more.
  const double first = std::floor(low / step + 1e-9);
  const double last = std::ceil(high / step - 1e-9);
  for (double i = first; i <= last; ++i) axis.ticks.push_back(i * step);
  axis.low = axis.ticks.front();
  axis.high = axis.ticks.back();
  axis.decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 9);
  return axis;
}

std::string BarChartHtml(const BarChart& chart) {
  double largest = 0;
  for (const Bar& bar : chart.bars) {
    if (std::isfinite(bar.value)) largest = std::max(largest, bar.value);
    if (Drawable(bar.whisker)) largest = std::max(largest, bar.whisker->high);
  }
  const double rows = kRow * static_cast<double>(chart.bars.size());
  const Axis axis = NiceAxis(0, largest > 0 ? largest : 1, 5);
  const AxisScale x{axis, 1, kChartWidth - kBarMargin};
  SvgCanvas canvas(largest > 0 ? rows + 46 : rows + 4);
  if (largest > 0) {
    for (size_t i = 0; i < axis.ticks.size(); ++i) {
      const double at = x(axis.ticks[i]);
      canvas.Line(at, 2, at, rows + 4, i == 0 ? "axis" : "grid-line");
      canvas.Text(i == 0 ? at - 1 : at, rows + 19, Fixed(axis.ticks[i], axis.decimals),
                  i == 0 ? "start" : "middle", "m");
    }
    canvas.Text(kChartWidth / 2, rows + 36, chart.axis_label, "middle", "m");
  }
  for (size_t i = 0; i < chart.bars.size(); ++i) {
    const Bar& bar = chart.bars[i];
    const double top = kRow * static_cast<double>(i);
    const bool known = std::isfinite(bar.value);
    const std::string value = known ? bar.value_text : std::string(kNotMeasured);
    const double room = kChartWidth - TextWidth(value) - 12;
    canvas.Text(5, top + 15, Shortened(bar.label, static_cast<size_t>(std::max(room / 6.4, 6.0))),
                "start", "halo");
    canvas.Text(kChartWidth - 2, top + 15, value, "end", known ? "b halo" : "m halo");
    if (!known) continue;
    const double width = std::max(x(std::max(bar.value, 0.0)) - x.start, 1.0);
    canvas.Rect(x.start, top + 20, width, kBar, SeriesClass('f', bar.series),
                absl::StrCat(bar.label, ": ", value));
    if (Drawable(bar.whisker)) {
      canvas.HorizontalWhisker(x(std::max(bar.whisker->low, 0.0)), x(bar.whisker->high),
                               top + 20 + kBar / 2);
    }
  }
  if (largest > 0 && chart.reference.has_value() && std::isfinite(*chart.reference)) {
    // Beside the bars alone, so that it crosses no label.
    for (size_t i = 0; i < chart.bars.size(); ++i) {
      const double top = kRow * static_cast<double>(i) + 20;
      canvas.Line(x(*chart.reference), top - 2, x(*chart.reference), top + kBar + 2, "ref");
    }
  }
  return canvas.Html(chart.title, chart.description);
}

}  // namespace wanlite::report
