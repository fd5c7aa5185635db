// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/report/training_html.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

constexpr uint64_t kMaxTrainingLogBytes = uint64_t{1} << 30;

struct ReportTrainingArgs {
  std::vector<std::string> logs;
  std::string out;
};

// The logs in a folder and below, or the file itself.
absl::Status CollectLogs(Env& env, const std::string& path, std::vector<std::string>& files) {
  if (!env.FolderExists(path)) {
    files.push_back(path);
    return absl::OkStatus();
  }
  WANLITE_ASSIGN_OR_RETURN(std::vector<std::string> names, env.ListFolder(path));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string below = JoinPath(path, name);
    if (env.FolderExists(below) || absl::EndsWith(name, ".jsonl")) {
      WANLITE_RETURN_IF_ERROR(CollectLogs(env, below, files));
    }
  }
  return absl::OkStatus();
}

absl::Status RunReportTraining(const ReportTrainingArgs& options, Session& session) {
  WANLITE_RETURN_IF_ERROR(session.env().CheckOutputFile(options.out));
  std::vector<std::string> files;
  for (const std::string& log : options.logs) {
    WANLITE_RETURN_IF_ERROR(CollectLogs(session.env(), log, files));
  }
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat(options.logs.front(), ": holds no log of a training (*.jsonl)"));
  }
  std::vector<TrainingCurve> curves;
  for (const std::string& file : files) {
    WANLITE_ASSIGN_OR_RETURN(const std::string text,
                             session.env().ReadFile(file, kMaxTrainingLogBytes));
    WANLITE_ASSIGN_OR_RETURN(curves.emplace_back(), ParseTrainingLog(text, file));
  }
  WANLITE_RETURN_IF_ERROR(session.env().WriteFileAtomically(options.out, TrainingHtml(curves)));
  if (session.json) {
    session.PrintJson(Json{{"out", options.out}, {"logs", files}});
  } else {
    session.Say(absl::StrCat("Report: ", options.out, ", of ", files.size(),
                             files.size() == 1 ? " log\n" : " logs\n"));
  }
  return absl::OkStatus();
}

}  // namespace

Command AddReportTraining(CLI::App& root) {
  Command command;
  command.app = AddCommand(root, "report-training",
                           "Draw the curves of a training: the loss and each of its terms",
                           "wanlite report-training OUT.training --out training.html\n\n"
                           "OUT.training is the folder where wanlite compress logs the steps of "
                           "passes that train, or one of "
                           "the files in it. The page runs no script and loads nothing.");
  auto options = std::make_shared<ReportTrainingArgs>();
  command.app->add_option("logs", options->logs, "logs of trainings, or folders of them")
      ->required()
      ->type_name("LOG");
  command.app->add_option("--out", options->out, "HTML file to write")
      ->required()
      ->type_name("FILE");
  command.run = [options](Session& session) { return RunReportTraining(*options, session); };
  return command;
}

}  // namespace wanlite::cli
