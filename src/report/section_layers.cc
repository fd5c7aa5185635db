// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/text_table.h"
#include "src/report/number_text.h"
#include "src/report/sections.h"

namespace wanlite::report {
namespace {

// A bar in a table cell. share in [0, 1].
std::string Tiny(double share) {
  if (!std::isfinite(share)) return "";
  const int percent = static_cast<int>(std::lround(100 * std::clamp(share, 0.0, 1.0)));
  return absl::StrCat("<span class=\"tiny\"><i style=\"width:", percent, "%\"></i></span>");
}

std::string OneModel(const NamedModel& named, const std::map<std::string, int64_t>& original) {
  const std::vector<LayerReport>& layers = named.model->layers;
  if (layers.empty()) {
    return NoteHtml(ModelLabel(named) + ": layers " + NotMeasured() + ".");
  }
  std::map<std::string, int64_t> formats;
  const LayerReport* worst = nullptr;
  double largest = 0;
  for (const LayerReport& layer : layers) {
    ++formats[layer.format];
    if (std::isfinite(layer.relative_error) && layer.relative_error > largest) {
      largest = layer.relative_error;
      worst = &layer;
    }
  }
  Table table;
  table.head = {
      "layer",         "format", "out \u00d7 in", "bytes", "of the original's", "non-zero weights",
      "relative error"};
  table.text_columns = 2;
  for (const LayerReport& layer : layers) {
    const auto before = original.find(layer.path);
    table.rows.push_back(
        {{"<code>" + Escape(layer.path) + "</code>", Escape(layer.format),
          absl::StrCat(layer.out_features, "\u00a0\u00d7\u00a0", layer.in_features),
          FormatBytes(layer.bytes),
          before == original.end()
              ? "not in the original"
              : Ratio(static_cast<double>(layer.bytes), static_cast<double>(before->second), 3),
          Percent(layer.nonzero) + Tiny(layer.nonzero),
          std::isfinite(layer.relative_error)
              ? Number(layer.relative_error, 3) +
                    Tiny(largest > 0 ? layer.relative_error / largest : 0)
              : std::string("shapes differ")}});
  }
  std::vector<std::string> counts;
  for (const auto& [format, count] : formats) {
    counts.push_back(absl::StrCat(count, " ", Escape(format)));
  }
  std::string summary = absl::StrCat(ModelLabel(named), ": ", layers.size(), " linear layers (",
                                     absl::StrJoin(counts, ", "), ")");
  if (worst != nullptr) {
    absl::StrAppend(&summary, "; largest relative error ", Number(largest, 3), " in <code>",
                    Escape(worst->path), "</code>");
  }
  return absl::StrCat("<details><summary>", summary, "</summary>\n", TableHtml(table, ""),
                      "</details>\n");
}

}  // namespace

std::string LayersHtml(const EvaluateReport& report) {
  std::map<std::string, int64_t> original;
  for (const LayerReport& layer : report.original.layers) original[layer.path] = layer.bytes;
  const std::vector<NamedModel> models = ModelsOf(report);
  std::string out;
  for (size_t i = 1; i < models.size(); ++i) absl::StrAppend(&out, OneModel(models[i], original));
  return out + NoteHtml(
                   "Relative error: |W \u2212 W<sub>original</sub>| / |W<sub>original</sub>| by "
                   "the Frobenius norm; its bars are relative to the largest of the model. Errors "
                   "of weights are no errors of clips: those are above.");
}

std::string LineageHtml(const EvaluateReport& report) {
  const std::vector<NamedModel> models = ModelsOf(report);
  std::string out;
  for (size_t i = 1; i < models.size(); ++i) {
    absl::StrAppend(&out, "<h3>", ModelLabel(models[i]), "</h3>\n");
    const std::vector<LineageReport>& lineage = models[i].model->lineage;
    if (lineage.empty()) {
      absl::StrAppend(&out, NoteHtml("No recipe is recorded in this model."));
      continue;
    }
    absl::StrAppend(&out, "<ol>\n");
    for (const LineageReport& pass : lineage) {
      absl::StrAppend(&out, "<li><b>", Escape(pass.pass), "</b>\n");
      if (!pass.options.empty()) absl::StrAppend(&out, "<pre>", Escape(pass.options), "</pre>\n");
      std::vector<std::pair<std::string, std::string>> metrics;
      for (const auto& [name, value] : pass.metrics) metrics.emplace_back(name, Number(value));
      if (!metrics.empty()) absl::StrAppend(&out, DefinitionsHtml(metrics));
      absl::StrAppend(&out, "</li>\n");
    }
    absl::StrAppend(&out, "</ol>\n");
  }
  return out + NoteHtml(
                   "Passes in the order they ran, with every option resolved, as the "
                   "checkpoints record them.");
}

}  // namespace wanlite::report
