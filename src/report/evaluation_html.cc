// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/evaluation_html.h"

#include "absl/strings/str_cat.h"
#include "src/report/number_text.h"
#include "src/report/sections.h"

namespace wanlite {
namespace {

// On what and with what, in one line under the verdict.
std::string About(const EvaluateReport& report) {
  const GenerateSettings& s = report.settings;
  const MachineInfo& m = report.machine;
  std::string text = absl::StrCat("Clips of ", s.frames, " frames, ", s.width, "\u00d7", s.height,
                                  ", ", s.steps, " steps; ");
  if (!report.candidates.empty() && report.candidates.front().paired.cases > 0) {
    absl::StrAppend(&text, report.candidates.front().paired.cases, " paired with the original; ");
  }
  if (report.original_quality && !report.set_name.empty()) {
    absl::StrAppend(&text, report.original_quality->clips, " for the set ",
                    report::Escape(report.set_name), "; ");
  }
  absl::StrAppend(&text, "measured on ",
                  m.cpu.empty() ? "an unnamed processor" : report::Escape(m.cpu));
  if (!m.device.empty() && m.device != "cpu") {
    absl::StrAppend(&text, " and ", report::Escape(m.device));
  }
  absl::StrAppend(&text, ", ", report.threads, report.threads == 1 ? " thread" : " threads");
  return absl::StrCat("<p class=\"about\">", text, ".</p>\n");
}

std::string Title(const EvaluateReport& report) {
  const std::string original =
      report.original.name.empty() ? Basename(report.original.dir) : report.original.name;
  const size_t count = report.candidates.size();
  if (count == 0) return original;
  return count == 1 ? absl::StrCat(original, " and ", report::ModelsOf(report)[1].name)
                    : absl::StrCat(original, " and ", count, " compressed models");
}

}  // namespace

std::string EvaluationHtml(const EvaluateReport& report) {
  using namespace wanlite::report;
  const std::vector<Section> sections{
      {"gains", "What was gained", GainsHtml(report)},
      {"quality", "What it cost in quality",
       absl::StrCat(DistancesHtml(report), PairedHtml(report), ReadingHtml(report),
                    FlickerHtml(report), ExtractorsHtml(report))},
      {"pareto", "Cost against quality", ParetoHtml(report)},
      {"frames", "Frames side by side", ExamplesHtml(report, kReportImageBytes)},
      {"operations", "Operations", OperationsHtml(report)},
      {"layers", "Layers", LayersHtml(report)},
      {"lineage", "How the models were made", LineageHtml(report)},
      {"settings", "Settings", absl::StrCat(SettingsHtml(report), MachineHtml(report))},
      {"reading", "How to read this", CaveatsHtml(report)}};
  const MachineInfo& m = report.machine;
  return PageHtml(Title(report), absl::StrCat(VerdictHtml(report), About(report)), sections,
                  absl::StrCat("Written by wanlite ", Escape(m.wanlite), ", commit ",
                               Escape(m.commit.empty() ? "unknown" : m.commit),
                               ". This file is complete: it runs no script and loads nothing."));
}

absl::Status WriteEvaluationHtml(Env& env, absl::string_view path, const EvaluateReport& report) {
  return env.WriteFileAtomically(path, EvaluationHtml(report));
}

}  // namespace wanlite
