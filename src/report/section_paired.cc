// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/report/frame_strip.h"
#include "src/report/number_text.h"
#include "src/report/sections.h"
#include "src/report/svg_chart.h"

namespace wanlite::report {
namespace {

std::string Legend(const std::vector<NamedModel>& models, size_t from) {
  std::string out = "<ul class=\"legend\">";
  for (size_t i = from; i < models.size(); ++i) {
    absl::StrAppend(&out, "<li>", ModelLabel(models[i]), "</li>");
  }
  return out + "</ul>\n";
}

std::string VelocityHtml(const std::vector<NamedModel>& models) {
  LineChart chart;
  chart.title = "Cosine of the velocity with the original's";
  chart.description =
      "One point per step of the original's own trajectory of the first case, from noise on the "
      "left to the clip on the right; 1 is the same direction";
  chart.x_label = "timestep (1000: noise)";
  chart.y_label = "cosine";
  chart.x_descends = true;
  for (size_t i = 1; i < models.size(); ++i) {
    Line line{models[i].name, {}, models[i].series};
    const auto& steps = models[i].paired->velocity;
    for (size_t k = 0; k < steps.size(); ++k) {
      line.points.emplace_back(steps[k].timestep, steps[k].cosine);
      const bool handover = k > 0 && steps[k].component != steps[k - 1].component;
      if (handover && chart.marks.empty()) {
        chart.marks.emplace_back((steps[k].timestep + steps[k - 1].timestep) / 2,
                                 steps[k].component);
      }
    }
    if (!line.points.empty()) chart.lines.push_back(line);
  }
  if (chart.lines.empty()) {
    return NoteHtml("Cosine of the velocity at each timestep: " + NotMeasured() + ".");
  }
  return absl::StrCat("<div class=\"grid two\"><div>", LineChartHtml(chart), Legend(models, 1),
                      "</div></div>\n",
                      NoteHtml("Both networks see the same input at every step: the original's own "
                               "trajectory of the first case, conditional branch. The axis does "
                               "not start at zero. A dashed line: another expert takes over."));
}

// What stands on the y axis of the Pareto plots.
struct QualityAxis {
  std::string label;
  bool higher_is_better = false;
  bool original_has_value = false;
  // NaN where it was not measured.
  std::function<double(const NamedModel&)> value;
  std::function<std::optional<Interval>(const NamedModel&)> whisker;
};

QualityAxis ChooseQuality(const EvaluateReport& report, const std::vector<NamedModel>& models) {
  const int64_t leading = LeadingExtractor(report);
  bool set = leading >= 0, frames = true;
  for (const NamedModel& model : models) {
    set = set && DistanceToReal(model.quality, leading) != nullptr;
    frames = frames && (model.paired == nullptr || model.paired->has_frames);
  }
  QualityAxis axis;
  axis.whisker = [](const NamedModel&) { return std::nullopt; };
  if (set) {
    axis.label = report.extractors[leading].name + " to real clips";
    axis.original_has_value = true;
    axis.value = [=](const NamedModel& m) { return DistanceToReal(m.quality, leading)->frechet; };
    axis.whisker = [=](const NamedModel& m) {
      return std::optional<Interval>(DistanceToReal(m.quality, leading)->interval);
    };
  } else if (frames) {
    axis.label = "PSNR, dB";
    axis.higher_is_better = true;
    axis.value = [](const NamedModel& m) {
      return m.paired != nullptr && m.paired->cases > 0 ? m.paired->psnr_db : std::nan("");
    };
  } else {
    axis.label = "latent MSE";
    axis.value = [](const NamedModel& m) {
      return m.paired != nullptr && m.paired->cases > 0 ? m.paired->latent_mse : std::nan("");
    };
  }
  return axis;
}

struct CostAxis {
  std::string title;
  std::function<double(const ModelReport&)> value;
  std::function<Unit(double)> unit;
  bool spread = false;  // of the latency
};

std::string ParetoChart(const std::vector<NamedModel>& models, const QualityAxis& quality,
                        const CostAxis& cost) {
  double largest = 0;
  for (const NamedModel& model : models) {
    const double value = cost.value(*model.model);
    if (std::isfinite(value)) largest = std::max(largest, value);
  }
  const Unit unit = cost.unit(largest);
  ScatterChart chart;
  chart.title = cost.title;
  chart.description = absl::StrCat(quality.label, " against ", cost.title);
  chart.x_label = absl::StrCat(cost.title, ", ", unit.name);
  chart.y_label = quality.label;
  chart.y_higher_is_better = quality.higher_is_better;
  for (const NamedModel& model : models) {
    const double x = cost.value(*model.model) / unit.size;
    if (model.paired == nullptr && !quality.original_has_value) {
      if (std::isfinite(x)) chart.x_reference = x;
      continue;
    }
    Point point{model.name, x, quality.value(model), {}, quality.whisker(model), model.series};
    const Spread& latency = model.model->latency;
    if (cost.spread && latency.runs > 1) {
      point.x_whisker = Interval{latency.min / unit.size, latency.max / unit.size};
    }
    chart.points.push_back(point);
  }
  return ScatterChartHtml(chart);
}

}  // namespace

std::string PairedHtml(const EvaluateReport& report) {
  const std::vector<NamedModel> models = ModelsOf(report);
  if (models.size() == 1) return "";
  Table table;
  table.head = {"", "clips", "PSNR, dB", "SSIM", "latent MSE", "bit for bit"};
  for (size_t i = 1; i < models.size(); ++i) {
    const PairedReport& p = *models[i].paired;
    const bool any = p.cases > 0, frames = any && p.has_frames;
    table.rows.push_back(
        {{ModelLabel(models[i]), any ? absl::StrCat(p.cases) : NotMeasured(),
          !frames       ? NotMeasured()
          : p.identical ? "identical"
                        : Fixed(p.psnr_db, 2),
          frames ? Fixed(p.ssim, 4) : NotMeasured(), any ? Number(p.latent_mse, 3) : NotMeasured(),
          !any          ? NotMeasured()
          : p.identical ? "identical"
                        : "different"}});
  }
  return absl::StrCat(
      "<h3>Against the original, clip by clip</h3>\n", TableHtml(table, ""),
      NoteHtml("Same prompts, same noise. These say how near a clip is to the original's, not "
               "whether it is good: a different clip may be as good a one."),
      VelocityHtml(models));
}

std::string ParetoHtml(const EvaluateReport& report) {
  const std::vector<NamedModel> models = ModelsOf(report);
  if (models.size() == 1)
    return NoteHtml("The original alone: there is nothing to compare it with.");
  const QualityAxis quality = ChooseQuality(report, models);
  const auto positive = [](double value) { return value > 0 ? value : std::nan(""); };
  const std::vector<CostAxis> costs{
      {"size", [=](const ModelReport& m) { return positive(static_cast<double>(m.bytes)); },
       BytesUnit},
      {"latency", [](const ModelReport& m) { return MedianSeconds(m.latency); }, SecondsUnit, true},
      {"operations of one generation",
       [=](const ModelReport& m) { return positive(m.generation.total().dense); },
       [](double largest) { return OperationsUnit(largest); }}};
  std::string charts;
  for (const CostAxis& cost : costs) absl::StrAppend(&charts, ParetoChart(models, quality, cost));
  return absl::StrCat(
      NoteHtml(absl::StrCat(
          "Left is cheaper; ", quality.higher_is_better ? "higher" : "lower",
          " is better. The dotted steps join the models that no other beats in one without losing "
          "in the other. Axes do not start at zero.",
          quality.original_has_value ? ""
                                     : " The dashed line is the original, which has no distance "
                                       "from itself.")),
      "<div class=\"grid\">\n", charts, "</div>\n",
      Legend(models, quality.original_has_value ? 0 : 1));
}

std::string ExamplesHtml(const EvaluateReport& report, int64_t max_image_bytes) {
  constexpr size_t kExamples = 3;
  ImageBudget budget{max_image_bytes};
  std::string out;
  if (report.original_examples.empty()) {
    return NoteHtml("No example clips were kept.");
  }
  const std::vector<NamedModel> models = ModelsOf(report);
  const size_t count = std::min(report.original_examples.size(), kExamples);
  size_t shown = 0;
  for (size_t i = 0; i < count; ++i) {
    const ExampleClip& original = report.original_examples[i];
    std::vector<NamedClip> clips{{models.front().name, original.frames}};
    for (size_t k = 0; k < report.candidates.size(); ++k) {
      const auto& examples = report.candidates[k].examples;
      clips.push_back(
          {models[k + 1].name, i < examples.size() ? examples[i].frames : at::Tensor()});
    }
    const std::string frames = FramesHtml(clips, report.settings.fps, &budget);
    // Half an example helps nobody; of the first there is as much as fits.
    if (i > 0 && budget.left_out > 0) break;
    absl::StrAppend(&out, "<h3>",
                    Quoted(original.prompt.empty() ? "(empty prompt)" : original.prompt),
                    "</h3>\n<p class=\"small\">seed ", original.seed, "</p>\n", frames);
    ++shown;
  }
  const size_t rest = report.original_examples.size() - shown;
  return absl::StrCat(
      NoteHtml(absl::StrCat(
          shown == 1 ? std::string("The first case") : absl::StrCat("The first ", shown, " cases"),
          " of the run, not chosen by hand",
          rest > 0 ? absl::StrCat("; ", rest, " more left out to keep this file small") : "",
          ". Rows of frames are lossless; differences are |compressed \u2212 original| \u00d7 ",
          kDifferenceGain,
          ", so that they can be seen, clipped at white. Animations are "
          "compressed.")),
      out);
}

}  // namespace wanlite::report
