// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "src/core/libtorch.h"
#include "src/digits/digits_training.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct TrainArgs {
  std::string config, out;
  std::vector<std::string> stages;
  int threads = 0;
};

absl::Status RunTrain(const TrainArgs& options, Session& session) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  digits::DigitsTrainingRun run;
  run.env = &session.env();
  WANLITE_ASSIGN_OR_RETURN(run.options, digits::LoadDigitsOptions(session.env(), options.config));
  const std::string& scans = run.options.data().scans_file();
  run.scans_path = absl::StartsWith(scans, "/") ? scans : JoinPath(Dirname(options.config), scans);
  run.out_dir = options.out;
  run.stages = options.stages;
  run.progress = &session.progress();
  run.cancel = &session.cancel();
  Json lines = Json::array();
  run.report = [&](const std::string& line) {
    lines.push_back(line);
    session.Say(line + "\n");
  };
  WANLITE_RETURN_IF_ERROR(digits::TrainDigits(run));
  if (session.json) session.PrintJson(Json{{"out", options.out}, {"report", lines}});
  return absl::OkStatus();
}

}  // namespace

Command AddTrain(CLI::App& root) {
  Command command;
  command.app =
      AddCommand(root, "train", "Train the Wan-Digits model from its digits file",
                 "wanlite train --config examples/digits/train.textproto --out digits\n\n"
                 "Stages, in order: " +
                     absl::StrJoin(digits::DigitsStages(), ", ") +
                     ".\nInterrupted or killed, the same command continues where it was.");
  CLI::App* app = command.app;
  auto options = std::make_shared<TrainArgs>();
  app->add_option("--config", options->config, "how to train, as textproto")
      ->required()
      ->type_name("FILE");
  app->add_option("--out", options->out, "folder for states and the finished model")
      ->required()
      ->type_name("DIR");
  app->add_option("--stage", options->stages, "only this stage; may be repeated")
      ->type_name("NAME");
  app->add_option("--threads", options->threads, "CPU threads (default: all cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command.run = [options](Session& session) { return RunTrain(*options, session); };
  command.resume = "the last state is kept, run the same command again to continue";
  return command;
}

}  // namespace wanlite::cli
