// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/training_html.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/report/html_page.h"
#include "src/report/number_text.h"
#include "src/report/svg_chart.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using namespace wanlite::report;

constexpr size_t kPoints = 240;     // of a line: more are averaged
constexpr double kEndShare = 0.05;  // of the steps, at either end, that the table averages
constexpr double kNotThere = std::numeric_limits<double>::quiet_NaN();

double NumberIn(const nlohmann::json& object, const std::string& name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : kNotThere;
}

double MeanOf(const std::vector<double>& values, size_t begin, size_t end) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = begin; i < std::min(end, values.size()); ++i) {
    if (!std::isfinite(values[i])) continue;
    sum += values[i];
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : kNotThere;
}

// Means over equal stretches of steps, as many as a chart can show.
std::vector<std::pair<double, double>> Thinned(const TrainingCurve& curve,
                                               const std::vector<double>& values, bool log10) {
  std::vector<std::pair<double, double>> points;
  const size_t size = curve.steps.size();
  const size_t stretch = std::max<size_t>(1, (size + kPoints - 1) / kPoints);
  for (size_t begin = 0; begin < size; begin += stretch) {
    const size_t end = std::min(size, begin + stretch);
    const double mean = MeanOf(values, begin, end);
    points.emplace_back(
        0.5 * (static_cast<double>(curve.steps[begin]) + static_cast<double>(curve.steps[end - 1])),
        log10 ? std::log10(mean) : mean);
  }
  return points;
}

std::string CurveChart(const TrainingCurve& curve, const std::string& title,
                       const std::vector<double>& values) {
  // What spans decades is drawn by its logarithm.
  double low = std::numeric_limits<double>::infinity(), high = 0;
  bool positive = true;
  for (const auto& [step, value] : Thinned(curve, values, false)) {
    if (!std::isfinite(value)) continue;
    positive = positive && value > 0;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const bool log10 = positive && high > 5 * low;
  LineChart chart;
  chart.title = title;
  chart.description = absl::StrCat(title, " over the steps of ", curve.name);
  chart.x_label = "step";
  chart.y_label = log10 ? "log10" : "value";
  chart.lines.push_back({title, Thinned(curve, values, log10), 1});
  return absl::StrCat("<div>", LineChartHtml(chart), "</div>\n");
}

std::string EndsTable(const TrainingCurve& curve) {
  Table table;
  table.head = {"", "first steps", "last steps", "ratio"};
  const size_t size = curve.steps.size();
  const auto ends = std::max<size_t>(1, static_cast<size_t>(kEndShare * static_cast<double>(size)));
  const auto row = [&](const std::string& name, const std::vector<double>& values) {
    const double first = MeanOf(values, 0, ends), last = MeanOf(values, size - ends, size);
    table.rows.push_back({{Quoted(name), Number(first), Number(last), Ratio(last, first)}});
  };
  row("loss", curve.loss);
  for (const auto& [name, values] : curve.terms) row(name, values);
  row("gradient norm", curve.gradient_norm);
  return TableHtml(
      table, absl::StrCat("Means over the first and the last ", ends, " of ", size, " steps"));
}

}  // namespace

absl::StatusOr<TrainingCurve> ParseTrainingLog(absl::string_view text, absl::string_view what) {
  TrainingCurve curve;
  curve.name = std::string(what);
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.empty()) continue;
    const auto bad = [&](absl::string_view why) {
      return absl::InvalidArgumentError(absl::StrCat(what, ":", number, ": ", why));
    };
    const auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
    if (!json.is_object()) return bad("no JSON object, as a log of a training has on each line");
    const auto step = json.find("step");
    if (step == json.end() || !step->is_number_integer()) return bad("no step");
    if (!curve.steps.empty() && step->get<int64_t>() <= curve.steps.back()) {
      return bad(absl::StrCat("step ", step->get<int64_t>(), " after step ", curve.steps.back()));
    }
    curve.steps.push_back(step->get<int64_t>());
    curve.loss.push_back(NumberIn(json, "loss"));
    curve.rate.push_back(NumberIn(json, "rate"));
    curve.gradient_norm.push_back(NumberIn(json, "gradient_norm"));
    if (json.value("skipped", nlohmann::json()) == true) ++curve.skipped;
    const auto terms = json.find("terms");
    if (terms == json.end() || !terms->is_object()) return bad("no terms");
    for (const auto& [name, value] : terms->items()) {
      auto found = std::find_if(curve.terms.begin(), curve.terms.end(),
                                [&](const auto& term) { return term.first == name; });
      if (found == curve.terms.end()) {
        constexpr size_t kMostTerms = 256;
        if (curve.terms.size() >= kMostTerms) return bad("more than 256 terms");
        curve.terms.emplace_back(name, std::vector<double>());
        found = std::prev(curve.terms.end());
      }
      found->second.resize(curve.steps.size() - 1, kNotThere);
      found->second.push_back(value.is_number() ? value.get<double>() : kNotThere);
    }
  }
  if (curve.steps.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": holds no step of a training"));
  }
  for (auto& [name, values] : curve.terms) values.resize(curve.steps.size(), kNotThere);
  return curve;
}

std::string TrainingHtml(const std::vector<TrainingCurve>& curves) {
  std::vector<Section> sections;
  for (size_t i = 0; i < curves.size(); ++i) {
    const TrainingCurve& curve = curves[i];
    std::string body = "<div class=\"grid two\">\n";
    absl::StrAppend(&body, CurveChart(curve, "Loss", curve.loss));
    for (const auto& [name, values] : curve.terms) {
      absl::StrAppend(&body, CurveChart(curve, name, values));
    }
    absl::StrAppend(&body, CurveChart(curve, "Gradient norm", curve.gradient_norm),
                    CurveChart(curve, "Learning rate", curve.rate), "</div>\n", EndsTable(curve));
    if (curve.skipped > 0) {
      absl::StrAppend(&body, AlertHtml(absl::StrCat(curve.skipped,
                                                    " steps were left out: their loss or gradient "
                                                    "was not finite")));
    }
    // Ids are letters.
    std::string id = "training";
    for (size_t n = i; n > 0; n /= 26) id += static_cast<char>('a' + n % 26);
    sections.push_back({id, curve.name, body});
  }
  return PageHtml(
      curves.size() == 1 ? absl::StrCat("Training: ", curves[0].name) : "Trainings",
      absl::StrCat("<p class=\"about\">Each point is the mean of a stretch of steps. A "
                   "value that spans decades is drawn by its logarithm.</p>\n"),
      sections, "Written by wanlite. This file is complete: it runs no script and loads nothing.");
}

}  // namespace wanlite
