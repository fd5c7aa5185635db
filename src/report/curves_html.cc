// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/curves_html.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/core/json_fields.h"
#include "src/core/strict_json.h"
#include "src/report/html_page.h"
#include "src/report/number_text.h"
#include "src/report/svg_chart.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using namespace wanlite::report;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kCurvesVersion = 1;
constexpr int kSeries = 6;  // colours beside the original's

absl::Status NeedNumber(const JsonFields& json, const char* name, absl::string_view what,
                        double& out) {
  if (!json.Has({name})) return absl::InvalidArgumentError(absl::StrCat(what, ": no ", name));
  return json.Double({name}, out);
}

absl::StatusOr<CurvePoint> ParsePoint(const nlohmann::json& value, const std::string& what) {
  if (!value.is_object()) return absl::InvalidArgumentError(absl::StrCat(what, " is no object"));
  WANLITE_ASSIGN_OR_RETURN(const JsonFields json, JsonFields::Parse(what, value.dump()));
  CurvePoint point;
  WANLITE_RETURN_IF_ERROR(json.String({"variant"}, point.variant));
  if (point.variant.empty()) return absl::InvalidArgumentError(absl::StrCat(what, ": no variant"));
  WANLITE_RETURN_IF_ERROR(NeedNumber(json, "amount", what, point.amount));
  WANLITE_RETURN_IF_ERROR(NeedNumber(json, "kept", what, point.kept));
  WANLITE_RETURN_IF_ERROR(NeedNumber(json, "reading", what, point.reading));
  const std::pair<const char*, double*> measures[] = {
      {"operations", &point.operations},   {"digit", &point.digit},
      {"direction", &point.direction},     {"colour", &point.colour},
      {"consistency", &point.consistency}, {"frechet_change", &point.frechet_change},
      {"psnr_db", &point.psnr_db}};
  for (const auto& [name, out] : measures) {
    *out = kMissing;
    WANLITE_RETURN_IF_ERROR(json.Double({name}, *out));
  }
  std::vector<double> interval;
  WANLITE_RETURN_IF_ERROR(json.Doubles({"frechet_change_interval"}, interval));
  point.frechet_low = interval.size() == 2 ? interval[0] : kMissing;
  point.frechet_high = interval.size() == 2 ? interval[1] : kMissing;
  WANLITE_ASSIGN_OR_RETURN(const JsonFields latency, json.Object("latency_ratio"));
  point.latency = point.latency_low = point.latency_high = kMissing;
  WANLITE_RETURN_IF_ERROR(latency.Double({"median"}, point.latency));
  WANLITE_RETURN_IF_ERROR(latency.Double({"quartile_low"}, point.latency_low));
  WANLITE_RETURN_IF_ERROR(latency.Double({"quartile_high"}, point.latency_high));
  WANLITE_RETURN_IF_ERROR(json.Int({"training_steps"}, point.training_steps));
  return point;
}

// In the order in which they first come.
std::vector<std::string> VariantsOf(const PruneCurves& curves) {
  std::vector<std::string> names;
  for (const CurvePoint& point : curves.points) {
    if (std::find(names.begin(), names.end(), point.variant) == names.end()) {
      names.push_back(point.variant);
    }
  }
  return names;
}

int SeriesOf(size_t variant) { return static_cast<int>(variant % kSeries) + 1; }

std::string VariantLabel(const std::string& name, int series) {
  return absl::StrCat("<i class=\"dot ", SeriesClass('c', series), "\"></i>", Quoted(name));
}

std::string LegendHtml(const std::vector<std::string>& variants) {
  std::string out = "<ul class=\"legend\">";
  for (size_t i = 0; i < variants.size(); ++i) {
    absl::StrAppend(&out, "<li>", VariantLabel(variants[i], SeriesOf(i)), "</li>");
  }
  return out + "<li>" + VariantLabel("original", 0) + "</li></ul>\n";
}

struct Measure {
  std::string title, description, label;
  std::function<double(const CurvePoint&)> value;
  double original = kMissing;  // drawn over the whole width
};

std::string CurveHtml(const PruneCurves& curves, const std::vector<std::string>& variants,
                      const Measure& measure) {
  LineChart chart;
  chart.title = measure.title;
  chart.description = measure.description;
  chart.x_label = "parameters kept, %";
  chart.y_label = measure.label;
  chart.x_descends = true;
  double least = 100;
  for (size_t i = 0; i < variants.size(); ++i) {
    Line line{variants[i], {}, SeriesOf(i)};
    for (const CurvePoint& point : curves.points) {
      if (point.variant != variants[i]) continue;
      line.points.emplace_back(100 * point.kept, measure.value(point));
      least = std::min(least, 100 * point.kept);
    }
    std::stable_sort(line.points.begin(), line.points.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    chart.lines.push_back(std::move(line));
  }
  if (std::isfinite(measure.original)) {
    chart.lines.push_back({"original", {{100, measure.original}, {least, measure.original}}, 0});
  }
  return absl::StrCat("<div>", LineChartHtml(chart), "</div>\n");
}

std::string PointsTableHtml(const PruneCurves& curves, const std::vector<std::string>& variants) {
  Table table;
  table.head = {"variant",           "removed",       "parameters kept",     "operations",
                "reading",           "of original's", "digit in all thirds", "Fréchet change",
                "its 95 % interval", "PSNR, dB",      "latency (quartiles)", "training steps"};
  for (size_t i = 0; i < variants.size(); ++i) {
    for (const CurvePoint& point : curves.points) {
      if (point.variant != variants[i]) continue;
      table.rows.push_back(
          {{VariantLabel(point.variant, SeriesOf(i)), Percent(point.amount, 0), Percent(point.kept),
            Percent(point.operations), Percent(point.reading),
            Percent(curves.original_reading > 0 ? point.reading / curves.original_reading
                                                : kMissing),
            Percent(point.consistency), Signed(point.frechet_change, 1),
            IntervalText({point.frechet_low, point.frechet_high}, 1), Fixed(point.psnr_db, 1),
            absl::StrCat(Fixed(point.latency, 2), " ",
                         IntervalText({point.latency_low, point.latency_high}, 2)),
            point.training_steps > 0 ? absl::StrCat(point.training_steps) : ""}});
    }
  }
  return TableHtml(table, "Every point");
}

}  // namespace

absl::StatusOr<PruneCurves> ParsePruneCurves(absl::string_view text, absl::string_view what) {
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json root, ParseStrictJson(text, what));
  WANLITE_ASSIGN_OR_RETURN(const JsonFields json, JsonFields::Parse(what, text));
  int64_t version = 0;
  WANLITE_RETURN_IF_ERROR(json.Int({"version"}, version));
  if (version != kCurvesVersion) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": version is ", version, ", wanted ",
                                                   kCurvesVersion,
                                                   " (a file of bench/prune_curves.py)"));
  }
  PruneCurves curves;
  WANLITE_RETURN_IF_ERROR(json.String({"date"}, curves.date));
  WANLITE_ASSIGN_OR_RETURN(const JsonFields settings, json.Object("settings"));
  WANLITE_RETURN_IF_ERROR(settings.String({"model"}, curves.model));
  WANLITE_RETURN_IF_ERROR(settings.Int({"clips"}, curves.clips));
  WANLITE_RETURN_IF_ERROR(settings.Int({"threads"}, curves.threads));
  WANLITE_ASSIGN_OR_RETURN(const JsonFields machine, json.Object("machine"));
  WANLITE_RETURN_IF_ERROR(machine.String({"cpu"}, curves.machine));
  WANLITE_ASSIGN_OR_RETURN(const JsonFields original, json.Object("original"));
  WANLITE_RETURN_IF_ERROR(
      NeedNumber(original, "reading", absl::StrCat(what, ": original"), curves.original_reading));
  WANLITE_RETURN_IF_ERROR(NeedNumber(original, "frechet_to_real", absl::StrCat(what, ": original"),
                                     curves.original_frechet));
  const auto points = root.find("points");
  if (points == root.end() || !points->is_array() || points->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": no points"));
  }
  for (size_t i = 0; i < points->size(); ++i) {
    WANLITE_ASSIGN_OR_RETURN(CurvePoint point,
                             ParsePoint((*points)[i], absl::StrCat(what, ": points[", i, "]")));
    curves.points.push_back(std::move(point));
  }
  return curves;
}

std::string PruneCurvesHtml(const PruneCurves& curves) {
  const std::vector<std::string> variants = VariantsOf(curves);
  const Measure measures[] = {
      {"Reading", "Mean share of clips in which digit, direction and colour are read as asked for",
       "read, %", [](const CurvePoint& p) { return 100 * p.reading; },
       100 * curves.original_reading},
      {"Same digit in all thirds", "Share of clips that show one digit from beginning to end",
       "clips, %", [](const CurvePoint& p) { return 100 * p.consistency; }, kMissing},
      {"Fréchet change",
       "Distance to real clips minus the original's; 0: as far from them as the original",
       "change of the distance", [](const CurvePoint& p) { return p.frechet_change; }, 0},
      {"PSNR to the original", "Same noise, same prompt; how alike the pixels are", "dB",
       [](const CurvePoint& p) { return p.psnr_db; }, kMissing},
  };
  std::string charts = LegendHtml(variants) + "<div class=\"grid two\">\n";
  for (const Measure& measure : measures) {
    absl::StrAppend(&charts, CurveHtml(curves, variants, measure));
  }
  absl::StrAppend(&charts, "</div>\n");
  const Measure costs[] = {
      {"Latency, measured", "Of a whole generation, both models in turns; 1 is the original",
       "of the original's", [](const CurvePoint& p) { return p.latency; }, 1},
      {"Operations, counted", "Of one denoising step; 1 is the original", "of the original's",
       [](const CurvePoint& p) { return p.operations; }, 1},
  };
  std::string cost = LegendHtml(variants) + "<div class=\"grid two\">\n";
  for (const Measure& measure : costs) {
    absl::StrAppend(&cost, CurveHtml(curves, variants, measure));
  }
  absl::StrAppend(&cost, "</div>\n",
                  NoteHtml("Operations are counted from shapes; latency is of a whole generation, "
                           "text encoder and decoder included, which pruning the denoisers leaves "
                           "as they are."));
  const std::string lead = absl::StrCat(
      "<p class=\"about\">", curves.points.size(), " pruned models; ", curves.clips,
      " clips each; original: reading ", Percent(curves.original_reading), ", Fréchet distance to ",
      "real clips ", Fixed(curves.original_frechet, 1), "; measured on ",
      curves.machine.empty() ? "an unnamed processor" : Escape(curves.machine), ", ",
      curves.threads, curves.threads == 1 ? " thread" : " threads",
      curves.date.empty() ? "" : absl::StrCat(", ", Escape(curves.date)), ".</p>\n");
  return PageHtml(
      absl::StrCat(curves.model.empty() ? "Model" : curves.model, ": quality over kept parameters"),
      lead,
      {{"quality", "Quality over kept parameters", charts},
       {"cost", "What is gained", cost},
       {"points", "Points", PointsTableHtml(curves, variants)}},
      "Written by wanlite. This file is complete: it runs no script and loads nothing.");
}

}  // namespace wanlite
