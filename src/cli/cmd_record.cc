// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/core/text_table.h"
#include "wanlite/metrics.h"
#include "wanlite/record.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct RecordArgs {
  ModelOptions model;
  DeviceOptions device;
  RequestOptions request;
  std::vector<std::string> prompts;
  std::string prompts_file, out;
  int64_t samples = 0;
};

absl::Status RunRecord(const RecordArgs& options, Session& session) {
  if (!options.request.prompt_embeds.empty() || !options.request.initial_latents.empty()) {
    return absl::InvalidArgumentError(
        "record encodes the prompts and draws the noise itself: --prompt-embeds and "
        "--initial-latents have no place here");
  }
  RecordRequest request;
  WANLITE_ASSIGN_OR_RETURN(request.prompts,
                           AllPrompts(session, options.prompts, options.prompts_file));
  WANLITE_ASSIGN_OR_RETURN(request.generate, options.request.Resolve(session));
  request.samples = options.samples;
  request.progress = &session.progress();
  WANLITE_ASSIGN_OR_RETURN(RunnerOptions runner_options, options.device.Resolve(session));
  runner_options.config_path = options.model.config;
  runner_options.progress = nullptr;  // one line for all generations
  WANLITE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Runner> runner,
      Runner::Open(session.env(), options.model.model, session.architectures(), runner_options));
  session.SayNotes(runner->folder().notes());
  WANLITE_ASSIGN_OR_RETURN(const RecordReport report,
                           RecordSamples(session.env(), *runner, request, options.out));
  for (const std::string& warning : report.warnings) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }
  if (session.json) {
    session.PrintJson(Json{{"out", options.out},
                           {"samples", report.samples},
                           {"bytes", report.bytes},
                           {"fingerprint", report.fingerprint},
                           {"resumed", report.resumed},
                           {"settings", AllSettingsJson(report.settings)},
                           {"seed", request.generate.seed},
                           {"warnings", report.warnings},
                           {"peak_rss_bytes", PeakRssBytes()}});
    return absl::OkStatus();
  }
  std::string text = absl::StrCat(options.out, ": ", FormatBytes(report.bytes),
                                  report.resumed ? " (continued an earlier recording)" : "", "\n");
  for (const auto& [component, count] : report.samples) {
    absl::StrAppend(&text, "  ", component, ": ", count, " samples\n");
  }
  session.Say(text);
  return absl::OkStatus();
}

}  // namespace

Command AddRecord(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "record",
      "Record what goes into a model's networks while it generates, for passes that calibrate",
      "wanlite record --model examples/digits/model --prompt \"a red digit 3 moves right\" "
      "--samples 32 --out samples\n"
      "  wanlite compress --model examples/digits/model --samples samples --recipe R --out "
      "SMALL\n\n"
      "Interrupted or killed, the same command continues where it was.");
  CLI::App* app = command.app;
  auto options = std::make_shared<RecordArgs>();
  options->model.Add(app);
  app->add_option("--prompt", options->prompts,
                  "may be repeated (default: the model folder's own prompts)")
      ->type_name("TEXT");
  app->add_option("--prompts", options->prompts_file, "text file, one prompt in each line")
      ->type_name("FILE");
  app->add_option("--out", options->out, "folder of samples to make")->required()->type_name("DIR");
  app->add_option("--samples", options->samples,
                  "forward passes of the denoisers to keep, over all prompts: each expert its "
                  "share, spread evenly over the timesteps (default: all)")
      ->type_name("N");
  options->request.Add(app);
  options->device.Add(app);
  command.run = [options](Session& session) { return RunRecord(*options, session); };
  command.resume = "finished prompts are kept, run the same command again to continue";
  return command;
}

}  // namespace wanlite::cli
