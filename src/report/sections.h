// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The parts of the evaluation report, each from the whole EvaluateReport.
#ifndef WANLITE_SRC_REPORT_SECTIONS_H_
#define WANLITE_SRC_REPORT_SECTIONS_H_

#include <string>
#include <vector>

#include "src/evaluate/evaluate.h"
#include "src/report/html_page.h"

namespace wanlite::report {

// Borrowed from a report, the original first.
struct NamedModel {
  std::string name;  // not escaped
  const ModelReport* model = nullptr;
  const SetQuality* quality = nullptr;   // null: no set
  const PairedReport* paired = nullptr;  // null for the original
  int series = 0;                        // of its colour; 0 is the original
};
std::vector<NamedModel> ModelsOf(const EvaluateReport& report);

// The model's name with the dot of its series. Markup.
std::string ModelLabel(const NamedModel& model);

// NaN where it was not measured.
double PeakMemory(const ModelReport& model);
double MedianSeconds(const Spread& spread);
// The distance that sums a set up: of the first extractor that passes the temporal check, else of
// the first. -1 without extractors.
int64_t LeadingExtractor(const EvaluateReport& report);
// nullptr where the set has no such distance.
const SetDistance* DistanceToReal(const SetQuality* quality, int64_t extractor);
const DistanceChange* ChangeOfDistance(const SetQuality* quality, int64_t extractor);
const SetDistance* DistanceToOriginal(const SetQuality* quality, int64_t extractor);

// One sentence for each compressed model, of numbers alone. Markup.
std::string VerdictHtml(const EvaluateReport& report);

std::string GainsHtml(const EvaluateReport& report);
std::string DistancesHtml(const EvaluateReport& report);
std::string ExtractorsHtml(const EvaluateReport& report);
std::string PairedHtml(const EvaluateReport& report);
std::string ReadingHtml(const EvaluateReport& report);
std::string FlickerHtml(const EvaluateReport& report);
std::string ParetoHtml(const EvaluateReport& report);
std::string ExamplesHtml(const EvaluateReport& report, int64_t max_image_bytes);
std::string OperationsHtml(const EvaluateReport& report);
std::string LayersHtml(const EvaluateReport& report);
std::string LineageHtml(const EvaluateReport& report);
std::string SettingsHtml(const EvaluateReport& report);
std::string MachineHtml(const EvaluateReport& report);
std::string CaveatsHtml(const EvaluateReport& report);

}  // namespace wanlite::report

#endif  // WANLITE_SRC_REPORT_SECTIONS_H_
