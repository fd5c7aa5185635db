// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <functional>

#include "absl/strings/str_cat.h"
#include "src/core/text_table.h"
#include "src/evaluate/evaluate.h"

namespace wanlite {
namespace {

std::string SpreadText(const Spread& spread) {
  return absl::StrCat(FormatSeconds(spread.median), " (", FormatFixed(spread.min, 2), " to ",
                      FormatFixed(spread.max, 2), ")");
}

std::string Percent(double share) { return absl::StrCat(FormatFixed(100 * share, 1), " %"); }

std::string Signed(double value, int decimals) {
  return absl::StrCat(value >= 0 ? "+" : "", FormatFixed(value, decimals));
}

// A column for the original and one for every candidate.
class Table {
 public:
  explicit Table(const EvaluateReport& report) : report_(report) {
    std::vector<std::string> heading{"", "original"};
    const bool alone = report.candidates.size() == 1;
    for (const CandidateReport& candidate : report.candidates) {
      heading.push_back(alone ? "compressed" : candidate.model.name);
      if (alone) heading.push_back("ratio");
    }
    rows_.push_back(heading);
  }

  // A number of each model, and its ratio to the original's. Left out when all are zero.
  void Numbers(const std::string& what, const std::function<double(const ModelReport&)>& value,
               const std::function<std::string(const ModelReport&)>& text) {
    const double original = value(report_.original);
    bool any = original > 0;
    std::vector<std::string> row{what, text(report_.original)};
    for (const CandidateReport& candidate : report_.candidates) {
      const double own = value(candidate.model);
      any = any || own > 0;
      const std::string ratio = FormatRatio(own, original);
      if (report_.candidates.size() == 1) {
        row.insert(row.end(), {text(candidate.model), ratio});
      } else {
        row.push_back(absl::StrCat(text(candidate.model), "  ", ratio));
      }
    }
    if (any) rows_.push_back(std::move(row));
  }

  void Operations(const std::string& what, const std::function<double(const ModelReport&)>& value) {
    Numbers(what, value, [&](const ModelReport& model) { return FormatOps(value(model)); });
  }

  std::string Text() const { return FormatTable(rows_); }

 private:
  const EvaluateReport& report_;
  std::vector<std::vector<std::string>> rows_;
};

std::string GainsTable(const EvaluateReport& report) {
  Table table(report);
  using Model = const ModelReport&;
  table.Numbers(
      "size", [](Model m) { return static_cast<double>(m.bytes); },
      [](Model m) { return FormatBytes(m.bytes); });
  table.Numbers(
      "parameters", [](Model m) { return static_cast<double>(m.parameters); },
      [](Model m) { return FormatCount(m.parameters); });
  table.Operations("operations per step", [](Model m) { return m.step.total().dense; });
  table.Operations("  linear", [](Model m) { return m.step.linear.dense; });
  table.Operations("  self-attention", [](Model m) { return m.step.self_attention.dense; });
  table.Operations("  cross-attention", [](Model m) { return m.step.cross_attention.dense; });
  table.Operations("  convolution", [](Model m) { return m.step.convolution.dense; });
  table.Operations("  without zero weights", [](Model m) { return m.step.total().effective; });
  table.Operations("  that kernels execute", [](Model m) { return m.step.total().realised; });
  table.Operations("  of them INT8", [](Model m) { return m.step.total().int8; });
  for (const auto& entry : report.original.ops.denoisers) {
    const std::string name = entry.first;
    table.Operations(name + ", one forward", [name](Model m) {
      const auto found = m.ops.denoisers.find(name);
      return found == m.ops.denoisers.end() ? 0 : found->second.total().dense;
    });
  }
  table.Operations("text encoder, one prompt",
                   [](Model m) { return m.ops.text_encoder.total().dense; });
  table.Operations("VAE decode", [](Model m) { return m.ops.vae_decode.total().dense; });
  table.Operations("one generation", [](Model m) { return m.generation.total().dense; });
  table.Numbers(
      "latency, median (range)", [](Model m) { return m.latency.median; },
      [](Model m) { return SpreadText(m.latency); });
  table.Numbers(
      "  denoising alone", [](Model m) { return m.denoise_latency.median; },
      [](Model m) { return SpreadText(m.denoise_latency); });
  table.Numbers(
      "  decoding alone", [](Model m) { return m.decode_latency.median; },
      [](Model m) { return SpreadText(m.decode_latency); });
  table.Numbers(
      "peak memory, own process", [](Model m) { return static_cast<double>(m.peak_rss_bytes); },
      [](Model m) { return m.peak_rss_bytes > 0 ? FormatBytes(m.peak_rss_bytes) : "-"; });
  return table.Text();
}

std::string PairedText(const EvaluateReport& report) {
  std::string text;
  if (report.candidates.empty()) return text;
  const GenerateSettings& settings = report.settings;
  absl::StrAppend(&text, "\nSame noise, same prompts (", report.candidates.front().paired.cases,
                  " clips of ", settings.frames, " frames ", settings.width, "x", settings.height,
                  ", ", settings.steps, " steps):");
  for (const CandidateReport& candidate : report.candidates) {
    const PairedReport& paired = candidate.paired;
    absl::StrAppend(&text, report.candidates.size() == 1
                               ? std::string(" ")
                               : absl::StrCat("\n  ", candidate.model.name, ": "));
    if (paired.identical) {
      absl::StrAppend(&text, "identical.");
      continue;
    }
    absl::StrAppend(&text, "latent MSE ", paired.latent_mse);
    if (paired.has_frames) {
      absl::StrAppend(&text, ", PSNR ", FormatFixed(paired.psnr_db, 2), " dB, SSIM ",
                      FormatFixed(paired.ssim, 4));
    }
    double lowest = 1;
    for (const VelocityAgreement& step : paired.velocity) lowest = std::min(lowest, step.cosine);
    if (!paired.velocity.empty()) {
      absl::StrAppend(&text, ", cosine of the velocity at least ", FormatFixed(lowest, 5));
    }
    absl::StrAppend(&text, ".");
  }
  return text + "\n";
}

std::string DistancesText(const EvaluateReport& report) {
  std::string text;
  for (size_t e = 0; e < report.extractors.size(); ++e) {
    const ExtractorReport& extractor = report.extractors[e];
    std::vector<std::vector<std::string>> rows{
        {extractor.name, "distance", "95 % interval", "of the floor", "kernel"}};
    const bool compared = !report.candidates.empty();
    if (compared) {
      rows.front().insert(rows.front().end(), {"change", "95 % interval", "to original"});
    }
    const auto range = [](const Interval& interval) {
      if (!(interval.low < interval.high)) return std::string("-");
      return absl::StrCat(FormatFixed(interval.low, 3), " to ", FormatFixed(interval.high, 3));
    };
    const auto add = [&](const std::string& name, const SetDistance& distance) {
      const double floor = extractor.floor.frechet;
      rows.push_back({name, FormatFixed(distance.frechet, 3), range(distance.interval),
                      floor > 0 ? FormatRatio(distance.frechet, floor) : "-",
                      FormatFixed(distance.kernel, 4)});
      if (compared) rows.back().resize(rows.front().size());
    };
    add("original to real", report.original_quality->to_real[e]);
    for (const CandidateReport& candidate : report.candidates) {
      const SetQuality& quality = *candidate.quality;
      add(absl::StrCat(candidate.model.name, " to real"), quality.to_real[e]);
      const DistanceChange& change = quality.change[e];
      rows.back()[5] = Signed(change.frechet, 3);
      rows.back()[6] = range(change.interval);
      rows.back()[7] = FormatFixed(quality.to_original[e].frechet, 3);
    }
    add("real to other real (floor)", extractor.floor);
    add("  frames shuffled", extractor.shuffled);
    add("  first frame frozen", extractor.frozen);
    absl::StrAppend(&text, "\n", FormatTable(rows));
    if (compared) text += "Change: distance minus the original's, by a paired bootstrap.\n";
    absl::StrAppend(&text, extractor.preprocessing, ".\n", extractor.clips, " clips of ",
                    extractor.frames, " frames ", extractor.width, "x", extractor.height, ", ",
                    extractor.dim, " features, covariance divisor ", extractor.divisor,
                    ", weights ", extractor.digest.substr(0, 12), ".\n");
    if (!extractor.warning.empty()) absl::StrAppend(&text, "Warning: ", extractor.warning, ".\n");
    if (!extractor.temporal_check) {
      absl::StrAppend(&text,
                      "Warning: temporal check failed: shuffled or frozen real clips score no "
                      "worse than intact ones, so this extractor does not see motion here.\n");
    }
  }
  return text;
}

std::string ReadingText(const EvaluateReport& report) {
  std::vector<std::vector<std::string>> rows{{"as the prompt says", "clips", "digit", "direction",
                                              "colour", "consistency", "alignment", "best match"}};
  const auto add = [&](const std::string& name, const SetQuality& quality) {
    for (const LanguageQuality& row : quality.languages) {
      if (!row.has_reading && !row.has_alignment) continue;
      const auto share = [&](bool there, double value) { return there ? Percent(value) : "-"; };
      rows.push_back({absl::StrCat(name, ", ", row.language), absl::StrCat(row.clips),
                      share(row.has_reading, row.digit), share(row.has_reading, row.direction),
                      share(row.has_reading, row.colour),
                      share(row.has_reading, row.digit_consistency),
                      row.has_alignment ? FormatFixed(row.alignment, 3) : "-",
                      share(row.has_alignment, row.retrieval)});
    }
  };
  add("original", *report.original_quality);
  for (const CandidateReport& candidate : report.candidates) {
    add(candidate.model.name, *candidate.quality);
  }
  if (report.real_quality.has_value()) add("real clips", *report.real_quality);
  if (rows.size() == 1) return "";
  std::string text = absl::StrCat("\n", FormatTable(rows));
  bool any_reading = false;
  for (const LanguageQuality& row : report.original_quality->languages) {
    any_reading = any_reading || row.has_reading;
  }
  if (any_reading) {
    text += "Consistency: the same digit is read from the first, middle and last third.\n";
  }
  if (!report.encoder_name.empty()) {
    absl::StrAppend(&text, "Alignment by ", report.encoder_name, ".\n");
  }

  std::vector<std::vector<std::string>> flicker{
      {"restlessness", "frame difference", "second difference", "high-frequency energy"}};
  const auto add_flicker = [&](const std::string& name, const FlickerStatistics& statistics) {
    flicker.push_back({name, FormatFixed(statistics.frame_difference, 5),
                       FormatFixed(statistics.second_difference, 5),
                       Percent(statistics.high_frequency_energy)});
  };
  add_flicker("original", report.original_quality->flicker);
  for (const CandidateReport& candidate : report.candidates) {
    add_flicker(candidate.model.name, candidate.quality->flicker);
  }
  if (report.real_quality.has_value()) add_flicker("real clips", report.real_quality->flicker);
  return absl::StrCat(text, "\n", FormatTable(flicker));
}

}  // namespace

std::string EvaluationTable(const EvaluateReport& report) {
  std::string text = absl::StrCat(GainsTable(report), PairedText(report));
  const auto warn = [&](const ModelReport& model) {
    if (model.peak_rss_warning.empty()) return;
    absl::StrAppend(&text, "Warning: ", model.name, ": ", model.peak_rss_warning, ".\n");
  };
  warn(report.original);
  for (const CandidateReport& candidate : report.candidates) warn(candidate.model);
  if (report.original_quality.has_value()) {
    absl::StrAppend(&text, DistancesText(report), ReadingText(report));
  }
  absl::StrAppend(
      &text,
      "\nOperations are 2 per multiply-add and the same in INT8. Zero weights save time "
      "only in layers packed N:M sparse, where this machine's kernels skip them.\n");
  for (const std::string& warning : report.warnings) {
    absl::StrAppend(&text, "Warning: ", warning, ".\n");
  }
  return text;
}

}  // namespace wanlite
