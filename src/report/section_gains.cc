// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <functional>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/text_table.h"
#include "src/report/number_text.h"
#include "src/report/sections.h"
#include "src/report/svg_chart.h"

namespace wanlite::report {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double PositiveOrUnknown(double value) { return value > 0 ? value : kUnknown; }

double Operations(const ModelReport& model) {
  return PositiveOrUnknown(model.generation.total().dense);
}

// Compressed to original. Runs side by side when there are, since what the machine does beside hits
// both.
double LatencyRatio(const NamedModel& original, const NamedModel& other) {
  if (other.paired != nullptr && other.paired->latency_ratio.runs > 0) {
    return other.paired->latency_ratio.median;
  }
  return MedianSeconds(other.model->latency) / MedianSeconds(original.model->latency);
}

// " (0.97 to 1.06)"; empty without pairs of runs.
std::string RatioRange(const PairedReport& paired) {
  const Spread& ratio = paired.latency_ratio;
  if (ratio.runs < 2) return "";
  return absl::StrCat(" (", Fixed(ratio.min, 2), " to ", Fixed(ratio.max, 2), ")");
}

std::string Of(absl::string_view what, double b, double a) {
  if (!std::isfinite(b) || !std::isfinite(a) || a <= 0) {
    return absl::StrCat(what, " ", kNotMeasured);
  }
  return absl::StrCat("<b>", Ratio(b, a), "</b> of the ", what);
}

std::string Sentence(const EvaluateReport& report, const NamedModel& original,
                     const NamedModel& other) {
  const ModelReport &a = *original.model, &b = *other.model;
  std::vector<std::string> parts{
      Of("size", PositiveOrUnknown(static_cast<double>(b.bytes)),
         PositiveOrUnknown(static_cast<double>(a.bytes))),
      Of("operations", Operations(b), Operations(a)),
      Of("latency", LatencyRatio(original, other), 1) + RatioRange(*other.paired),
      Of("peak memory", PeakMemory(b), PeakMemory(a))};
  std::string text = absl::StrCat(ModelLabel(other), ": ", absl::StrJoin(parts, ", "), "; ");
  const PairedReport& paired = *other.paired;
  if (paired.cases == 0) {
    absl::StrAppend(&text, "paired quality ", kNotMeasured);
  } else if (paired.identical) {
    absl::StrAppend(&text, "<b>identical</b> to the original in all ", paired.cases, " clips");
  } else if (paired.has_frames) {
    absl::StrAppend(&text, "PSNR <b>", Fixed(paired.psnr_db, 1),
                    "\u00a0dB</b> against the original");
  } else {
    absl::StrAppend(&text, "latent MSE <b>", Number(paired.latent_mse, 3),
                    "</b> against the original");
  }
  const int64_t leading = LeadingExtractor(report);
  const SetDistance* to_real = DistanceToReal(other.quality, leading);
  const DistanceChange* change = ChangeOfDistance(other.quality, leading);
  if (to_real != nullptr && change != nullptr) {
    const int decimals = std::min(DecimalsFor(to_real->frechet - change->frechet), 3);
    const ExtractorReport& extractor = report.extractors[leading];
    absl::StrAppend(&text, ", ", Escape(extractor.name), " to real clips <b>",
                    Signed(change->frechet, decimals), "</b> ",
                    IntervalText(change->interval, decimals),
                    !extractor.temporal_check    ? " (fails its temporal check)"
                    : !extractor.warning.empty() ? " (few clips: ranks only, see the caution)"
                                                 : "");
  }
  return text + ".";
}

// Of an original that nothing is compared with.
std::string AloneSentence(const EvaluateReport& report, const NamedModel& original) {
  const int64_t leading = LeadingExtractor(report);
  const SetDistance* to_real = DistanceToReal(original.quality, leading);
  if (to_real == nullptr) return "";
  const ExtractorReport& extractor = report.extractors[leading];
  return absl::StrCat("<p class=\"verdict ", SeriesClass('c', original.series), "\">",
                      ModelLabel(original), ": ", Escape(extractor.name), " to real clips <b>",
                      Fixed(to_real->frechet, std::min(DecimalsFor(to_real->frechet), 3)),
                      "</b>, <b>", Ratio(to_real->frechet, extractor.floor.frechet),
                      "</b> of the floor between two sets of real clips.</p>\n");
}

// One figure for all models.
struct Gain {
  std::string title, description;
  std::function<double(const ModelReport&)> value;
  std::function<const Spread*(const ModelReport&)> spread;  // null: none
  std::function<Unit(double)> unit;
  // To the original; null: the quotient of the values.
  std::function<double(const NamedModel&)> ratio = nullptr;
};

std::string GainChart(const std::vector<NamedModel>& models, const Gain& gain) {
  double largest = 0;
  for (const NamedModel& model : models) {
    const double value = gain.value(*model.model);
    if (std::isfinite(value)) largest = std::max(largest, value);
  }
  const Unit unit = gain.unit(largest);
  const double original = gain.value(*models.front().model);
  BarChart chart{gain.title, gain.description, unit.name, {}, {}};
  if (std::isfinite(original)) chart.reference = original / unit.size;
  for (const NamedModel& model : models) {
    const double value = gain.value(*model.model);
    Bar bar{model.name, value / unit.size, {}, "", model.series};
    if (std::isfinite(value)) {
      const std::string shown = absl::StrCat(Number(bar.value, 3), " ", unit.name);
      const bool compared = model.paired != nullptr && std::isfinite(original) && original > 0;
      const double ratio = gain.ratio ? gain.ratio(model) : value / original;
      bar.value_text = compared ? absl::StrCat(shown, "  ", Ratio(ratio, 1)) : shown;
    }
    const Spread* spread = gain.spread ? gain.spread(*model.model) : nullptr;
    if (spread != nullptr && spread->runs > 1) {
      bar.whisker = Interval{spread->min / unit.size, spread->max / unit.size};
    }
    chart.bars.push_back(bar);
  }
  return BarChartHtml(chart);
}

// markup, ratio below.
std::string Compared(const std::string& shown, double value, double original, bool compare) {
  if (!std::isfinite(value)) return NotMeasured();
  if (!compare || !std::isfinite(original) || original <= 0) return shown;
  return absl::StrCat(shown, "<small>", Ratio(value, original, 3), "</small>");
}

std::string SpreadText(const Spread& spread) {
  if (spread.runs == 0 || !std::isfinite(spread.median)) return NotMeasured();
  if (spread.runs == 1) return FormatSeconds(spread.median) + "<small>1 run, no spread</small>";
  return absl::StrCat(FormatSeconds(spread.median), "<small>", FormatSeconds(spread.min), " to ",
                      FormatSeconds(spread.max), "</small>");
}

}  // namespace

std::vector<NamedModel> ModelsOf(const EvaluateReport& report) {
  const auto name = [](const ModelReport& model) {
    if (!model.name.empty()) return model.name;
    return model.dir.empty() ? std::string("unnamed") : Basename(model.dir);
  };
  const auto quality = [](const std::optional<SetQuality>& q) { return q ? &*q : nullptr; };
  std::vector<NamedModel> models{{name(report.original) + " (original)", &report.original,
                                  quality(report.original_quality), nullptr, 0}};
  for (const CandidateReport& candidate : report.candidates) {
    models.push_back({name(candidate.model), &candidate.model, quality(candidate.quality),
                      &candidate.paired, static_cast<int>(models.size())});
  }
  return models;
}

std::string ModelLabel(const NamedModel& model) {
  return absl::StrCat("<i class=\"dot ", SeriesClass('c', model.series), "\"></i>",
                      Quoted(model.name));
}

double PeakMemory(const ModelReport& model) {
  return PositiveOrUnknown(static_cast<double>(model.peak_rss_bytes));
}

double MedianSeconds(const Spread& spread) { return spread.runs > 0 ? spread.median : kUnknown; }

int64_t LeadingExtractor(const EvaluateReport& report) {
  for (size_t i = 0; i < report.extractors.size(); ++i) {
    if (report.extractors[i].temporal_check) return static_cast<int64_t>(i);
  }
  return report.extractors.empty() ? -1 : 0;
}

const SetDistance* DistanceToReal(const SetQuality* quality, int64_t extractor) {
  if (quality == nullptr || extractor < 0) return nullptr;
  const auto& all = quality->to_real;
  return extractor < static_cast<int64_t>(all.size()) ? &all[extractor] : nullptr;
}

const DistanceChange* ChangeOfDistance(const SetQuality* quality, int64_t extractor) {
  if (quality == nullptr || extractor < 0) return nullptr;
  const auto& all = quality->change;
  return extractor < static_cast<int64_t>(all.size()) ? &all[extractor] : nullptr;
}

const SetDistance* DistanceToOriginal(const SetQuality* quality, int64_t extractor) {
  if (quality == nullptr || extractor < 0) return nullptr;
  const auto& all = quality->to_original;
  return extractor < static_cast<int64_t>(all.size()) ? &all[extractor] : nullptr;
}

std::string VerdictHtml(const EvaluateReport& report) {
  const std::vector<NamedModel> models = ModelsOf(report);
  std::string out;
  if (models.size() == 1) out = AloneSentence(report, models.front());
  for (size_t i = 1; i < models.size(); ++i) {
    absl::StrAppend(&out, "<p class=\"verdict ", SeriesClass('c', models[i].series), "\">",
                    Sentence(report, models.front(), models[i]), "</p>\n");
  }
  return out;
}

std::string GainsHtml(const EvaluateReport& report) {
  const std::vector<NamedModel> models = ModelsOf(report);
  const std::vector<Gain> gains{
      {"Size of the files", "Bytes on disk of all components",
       [](const ModelReport& m) { return PositiveOrUnknown(static_cast<double>(m.bytes)); },
       nullptr, BytesUnit},
      {"Operations of one generation", "Dense operations, 2 per multiply-add, INT8 included",
       Operations, nullptr, [](double largest) { return OperationsUnit(largest); }},
      {"Latency of one generation", "Median; whiskers from the fastest to the slowest run",
       [](const ModelReport& m) { return MedianSeconds(m.latency); },
       [](const ModelReport& m) { return &m.latency; }, SecondsUnit,
       [&](const NamedModel& m) { return LatencyRatio(models.front(), m); }},
      {"Peak memory", "Highest resident memory of one generation in a process of its own",
       PeakMemory, nullptr, BytesUnit}};
  std::string charts;
  for (const Gain& gain : gains) absl::StrAppend(&charts, GainChart(models, gain));

  Table table;
  table.head = {""};
  for (const NamedModel& model : models) table.head.push_back(ModelLabel(model));
  const auto row = [&](const std::string& what, const auto& cell) {
    Table::Row cells{{what}};
    for (const NamedModel& model : models) {
      cells.cells.push_back(cell(*model.model, model.paired != nullptr));
    }
    table.rows.push_back(cells);
  };
  const ModelReport& a = report.original;
  row("size", [&](const ModelReport& m, bool other) {
    return Compared(FormatBytes(m.bytes), PositiveOrUnknown(static_cast<double>(m.bytes)),
                    static_cast<double>(a.bytes), other);
  });
  row("parameters", [&](const ModelReport& m, bool other) {
    return Compared(FormatCount(m.parameters), PositiveOrUnknown(static_cast<double>(m.parameters)),
                    static_cast<double>(a.parameters), other);
  });
  row("operations of one generation", [&](const ModelReport& m, bool other) {
    return Compared(FormatOps(m.generation.total().dense), Operations(m), Operations(a), other);
  });
  const auto seconds = [&](const std::string& what, Spread ModelReport::*part) {
    row(what, [&](const ModelReport& m, bool other) {
      const double value = MedianSeconds(m.*part);
      return other ? Compared(SpreadText(m.*part), value, MedianSeconds(a.*part), true)
                   : SpreadText(m.*part);
    });
  };
  seconds("latency: median, range", &ModelReport::latency);
  Table::Row pairs{{"latency ratio, runs side by side"}};
  for (const NamedModel& model : models) {
    const bool known = model.paired != nullptr && model.paired->latency_ratio.runs > 0;
    pairs.cells.push_back(model.paired == nullptr ? ""
                          : known ? absl::StrCat(Ratio(model.paired->latency_ratio.median, 1, 3),
                                                 "<small>", model.paired->latency_ratio.runs,
                                                 " pairs", RatioRange(*model.paired), "</small>")
                                  : NotMeasured());
  }
  table.rows.push_back(pairs);
  seconds("denoising alone", &ModelReport::denoise_latency);
  seconds("decoding alone", &ModelReport::decode_latency);
  row("timed runs", [](const ModelReport& m, bool) {
    return m.latency.runs > 0 ? absl::StrCat(m.latency.runs) : NotMeasured();
  });
  row("peak memory", [&](const ModelReport& m, bool other) {
    return Compared(FormatBytes(m.peak_rss_bytes), PeakMemory(m), PeakMemory(a), other);
  });
  std::string cautions;
  for (const NamedModel& model : models) {
    if (model.model->peak_rss_warning.empty()) continue;
    absl::StrAppend(&cautions, NoteHtml(absl::StrCat("<b>Caution:</b> ", Quoted(model.model->name),
                                                     ": ", Escape(model.model->peak_rss_warning))));
  }
  return absl::StrCat("<div class=\"grid two\">\n", charts, "</div>\n", TableHtml(table, ""),
                      cautions,
                      NoteHtml("The dashed line is the original. Each compressed model ran in "
                               "turns with the original on the same noise and prompts, after one "
                               "run each to warm up; the ratio of latencies is the median over "
                               "pairs of runs side by side."));
}

}  // namespace wanlite::report
