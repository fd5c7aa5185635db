// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "src/core/text_table.h"
#include "src/doctor/doctor.h"

namespace wanlite {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kFindingsShown = 12;

// Below this a difference is the order of sums.
constexpr double kNothing = 1e-6;

std::string Short(double value) {
  return std::abs(value) < kNothing ? "0" : absl::StrFormat("%.3g", value);
}

// The layer of a block that is nearest to its band, or furthest beyond.
const LayerCheck* WorstLayer(const ComponentCheck& component, const BlockCheck& block) {
  const LayerCheck* worst = nullptr;
  for (size_t i = block.first_layer; i < block.first_layer + block.layers; ++i) {
    const LayerCheck& layer = component.layers[i];
    if (!layer.finite) return &layer;
    if (!layer.compared) continue;
    if (worst == nullptr || layer.error / layer.band > worst->error / worst->band) worst = &layer;
  }
  return worst != nullptr && worst->error > kNothing ? worst : nullptr;
}

std::vector<std::vector<std::string>> BlockRows(const ComponentCheck& component) {
  std::vector<std::vector<std::string>> rows{
      {"block", "own", "so far", "cosine", "max", "original", "nearest to its band"}};
  for (const BlockCheck& block : component.blocks) {
    for (const std::string& dropped : block.dropped) {
      rows.push_back({absl::StrCat("(", dropped, ")"), "-", "-", "-", "-", "-", "dropped"});
    }
    const LayerCheck* worst = WorstLayer(component, block);
    std::string layer = "-";
    if (worst != nullptr) {
      layer = absl::StrCat(worst->path.substr(std::min(worst->path.size(), block.path.size() + 1)),
                           worst->finite ? absl::StrCat(" ", Short(worst->error), " of ",
                                                        absl::StrFormat("%.2g", worst->band))
                                         : " not finite");
    }
    std::string name = block.path;
    if (block.path != block.original) absl::StrAppend(&name, " (was ", block.original, ")");
    // The component's own tensors, before the first block and behind the last.
    if (block.path == component.name) {
      absl::StrAppend(&name, &block == &component.blocks.front() ? ", before" : ", behind");
    }
    rows.push_back({std::move(name), Short(block.own_error),
                    block.compared ? Short(block.error) : "-",
                    block.compared ? absl::StrFormat("%.5f", block.cosine) : "-",
                    block.finite ? Short(block.max_compressed) : "not finite",
                    Short(block.max_original), layer});
  }
  return rows;
}

// JSON has no NaN or infinity.
Json JsonNumber(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json LayerJson(const LayerCheck& layer) {
  Json scales = Json::array();
  for (const ScaleRange& scale : layer.scales) {
    scales.push_back({{"name", scale.name},
                      {"least", JsonNumber(scale.least)},
                      {"most", JsonNumber(scale.most)},
                      {"zeros", scale.zeros},
                      {"broken", scale.broken},
                      {"count", scale.count}});
  }
  return {{"path", layer.path},
          {"format", layer.format},
          {"bits", layer.bits},
          {"healthy", layer.healthy()},
          {"compared", layer.compared},
          {"finite", layer.finite},
          {"error", JsonNumber(layer.error)},
          {"band", layer.band},
          {"weight_error", JsonNumber(layer.weight_error)},
          {"gain", JsonNumber(layer.gain)},
          {"rows", layer.rows},
          {"wrong_rows", layer.wrong_rows},
          {"zero_rows", layer.zero_rows},
          {"saturated_weights", layer.saturated_weights},
          {"saturated_inputs", layer.saturated_inputs < 0 ? Json() : Json(layer.saturated_inputs)},
          {"static_input", layer.static_input},
          {"scales", scales},
          {"input_max", JsonNumber(layer.input_max)},
          {"outlier_ratio", JsonNumber(layer.outlier_ratio)},
          {"outlier_channels", layer.outlier_channels},
          {"cause", layer.cause}};
}

Json ComponentJson(const ComponentCheck& component) {
  Json json{{"name", component.name},
            {"inputs", component.description},
            {"output_compared", component.output_compared},
            {"smoothed_inputs", component.smoothed},
            {"output_error", JsonNumber(component.output_error)},
            {"output_cosine", JsonNumber(component.output_cosine)},
            {"blocks", Json::array()},
            {"layers", Json::array()},
            {"tensors", Json::array()}};
  for (const BlockCheck& block : component.blocks) {
    json["blocks"].push_back({{"path", block.path},
                              {"original", block.original},
                              {"dropped_before", block.dropped},
                              {"compared", block.compared},
                              {"finite", block.finite},
                              {"own_error", JsonNumber(block.own_error)},
                              {"error", JsonNumber(block.error)},
                              {"cosine", JsonNumber(block.cosine)},
                              {"max", block.max_compressed},
                              {"max_original", block.max_original}});
  }
  for (const LayerCheck& layer : component.layers) json["layers"].push_back(LayerJson(layer));
  for (const TensorCheck& tensor : component.tensors) {
    json["tensors"].push_back({{"path", tensor.path},
                               {"error", JsonNumber(tensor.error)},
                               {"band", tensor.band},
                               {"finite", tensor.finite},
                               {"cause", tensor.cause}});
  }
  return json;
}

}  // namespace

std::string DoctorText(const DoctorReport& report) {
  std::string text = absl::StrCat(report.compressed, " beside ", report.original, "\n");
  for (const ComponentCheck& component : report.components) {
    absl::StrAppend(&text, "\n", component.name, ": ", component.description, "\n",
                    FormatTable(BlockRows(component)));
    if (component.output_compared) {
      absl::StrAppend(&text, "output: error ", Short(component.output_error), ", cosine ",
                      absl::StrFormat("%.5f", component.output_cosine), "\n");
    }
    if (component.smoothed > 0) {
      absl::StrAppend(
          &text, component.smoothed,
          " inputs are smoothed; the original was smoothed the same way to be compared\n");
    }
    const auto unseen = std::count_if(component.layers.begin(), component.layers.end(),
                                      [](const LayerCheck& layer) { return !layer.compared; });
    if (unseen > 0) {
      absl::StrAppend(&text, unseen,
                      " layers have other sizes than the original's: of them only what they hold "
                      "was looked at\n");
    }
  }
  for (const std::string& note : report.notes) absl::StrAppend(&text, "\nnote: ", note, "\n");
  if (report.healthy()) {
    absl::StrAppend(&text, "\nHEALTHY: every layer is within the band of its format.\n");
    return text;
  }
  const Finding& first = report.findings.front();
  absl::StrAppend(&text, "\nFIRST OUT OF ITS BAND: ", first.path, "\n  ",
                  absl::StrReplaceAll(first.what, {{"; ", "\n  "}}), "\n  likely: ", first.because,
                  "\n");
  if (report.findings.size() == 1) return text;
  absl::StrAppend(&text, "\nalso out, in the order in which they run:\n");
  for (size_t i = 1; i < std::min(report.findings.size(), kFindingsShown); ++i) {
    const Finding& finding = report.findings[i];
    absl::StrAppend(&text, "  ", finding.path, ": ", finding.because, "\n");
  }
  if (report.findings.size() > kFindingsShown) {
    absl::StrAppend(&text, "  … and ", report.findings.size() - kFindingsShown,
                    " more (--json has all)\n");
  }
  return text;
}

std::string DoctorJson(const DoctorReport& report) {
  Json json{{"original", report.original}, {"compressed", report.compressed},
            {"healthy", report.healthy()}, {"findings", Json::array()},
            {"components", Json::array()}, {"notes", report.notes}};
  for (const Finding& finding : report.findings) {
    json["findings"].push_back(
        {{"path", finding.path}, {"what", finding.what}, {"because", finding.because}});
  }
  for (const ComponentCheck& component : report.components) {
    json["components"].push_back(ComponentJson(component));
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace wanlite
