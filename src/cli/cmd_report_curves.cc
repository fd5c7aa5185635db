// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/report/curves_html.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct ReportCurvesArgs {
  std::string file, out;
};

absl::Status RunReportCurves(const ReportCurvesArgs& options, Session& session) {
  WANLITE_RETURN_IF_ERROR(session.env().CheckOutputFile(options.out));
  WANLITE_ASSIGN_OR_RETURN(const std::string text, session.env().ReadFile(options.file));
  WANLITE_ASSIGN_OR_RETURN(const PruneCurves curves, ParsePruneCurves(text, options.file));
  WANLITE_RETURN_IF_ERROR(session.env().WriteFileAtomically(options.out, PruneCurvesHtml(curves)));
  if (session.json) {
    session.PrintJson(Json{{"out", options.out}, {"points", curves.points.size()}});
  } else {
    session.Say(absl::StrCat("Report: ", options.out, "\n"));
  }
  return absl::OkStatus();
}

}  // namespace

Command AddReportCurves(CLI::App& root) {
  Command command;
  command.app =
      AddCommand(root, "report-curves", "Draw quality over kept parameters of pruned models",
                 "wanlite report-curves curves/curves.json --out curves.html\n\n"
                 "curves.json is what bench/prune_curves.py writes. The page holds a curve for "
                 "each way of pruning, in each measure of quality, and a table of\n"
                 "all points. It runs no script and loads nothing.");
  auto options = std::make_shared<ReportCurvesArgs>();
  command.app->add_option("file", options->file, "curves.json of bench/prune_curves.py")
      ->required()
      ->type_name("FILE");
  command.app->add_option("--out", options->out, "HTML file to write")
      ->required()
      ->type_name("FILE");
  command.run = [options](Session& session) { return RunReportCurves(*options, session); };
  return command;
}

}  // namespace wanlite::cli
