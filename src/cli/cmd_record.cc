// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/core/text_table.h"
#include "src/finetune/captioned_clips.h"
#include "src/finetune/record_clips.h"
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
  std::string prompts_file, clips, out;
  int64_t samples = 0;
  double caption_dropout = 0;
};

// Samples of clips in place of generations.
absl::StatusOr<RecordReport> RecordTheClips(const RecordArgs& options, Session& session,
                                            Runner& runner, const GenerateRequest& generate) {
  WANLITE_ASSIGN_OR_RETURN(
      finetune::CaptionedClips clips,
      finetune::CaptionedClips::Open(session.env(), options.clips, &session.cancel()));
  finetune::RecordClipsRequest request;
  request.samples = options.samples;
  request.seed = generate.seed;
  request.size = {options.request.frames.value_or(0), options.request.height.value_or(0),
                  options.request.width.value_or(0)};
  request.caption_dropout = options.caption_dropout;
  GenerateRequest settings;  // of these, what has to do with noise levels
  settings.shift = generate.shift;
  settings.boundary_ratio = generate.boundary_ratio;
  WANLITE_ASSIGN_OR_RETURN(request.settings, runner.Resolve(settings));
  return finetune::RecordClips(session.env(), runner, clips, request, options.out,
                               session.progress(), &session.cancel());
}

absl::Status CheckClipOptions(const RecordArgs& options) {
  if (options.clips.empty()) {
    if (options.caption_dropout == 0) return absl::OkStatus();
    return absl::InvalidArgumentError("--caption-dropout is of --clips alone");
  }
  const RequestOptions& request = options.request;
  if (options.prompts.empty() && options.prompts_file.empty() && !request.steps &&
      !request.guidance && !request.guidance_2 && !request.sampler && !request.negative_prompt &&
      request.protocol.empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "--clips takes captions and noise levels from the clips: prompts, protocols, steps, guidance "
      "and samplers have no place beside it");
}

absl::Status RunRecord(const RecordArgs& options, Session& session) {
  if (!options.request.prompt_embeds.empty() || !options.request.initial_latents.empty()) {
    return absl::InvalidArgumentError(
        "record encodes the prompts and draws the noise itself: --prompt-embeds and "
        "--initial-latents have no place here");
  }
  WANLITE_RETURN_IF_ERROR(CheckClipOptions(options));
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
                           options.clips.empty()
                               ? RecordSamples(session.env(), *runner, request, options.out)
                               : RecordTheClips(options, session, *runner, request.generate));
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
      "SMALL\n"
      "  wanlite record --model examples/digits/model --clips clips --samples 512 --out "
      "samples\n\n"
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
                  "share, spread evenly over the timesteps (default: all; with --clips one of each "
                  "clip for each expert)")
      ->type_name("N");
  app->add_option("--clips", options->clips,
                  "folder of clips, each with its caption in a text file of the same name: samples "
                  "are these clips under noise, with the velocity that is right, for passes that "
                  "learn from data")
      ->type_name("DIR");
  app->add_option("--caption-dropout", options->caption_dropout,
                  "with --clips: share of samples whose caption is replaced by the empty one "
                  "(default: 0)")
      ->type_name("P");
  options->request.Add(app);
  options->device.Add(app);
  command.run = [options](Session& session) { return RunRecord(*options, session); };
  command.resume = "finished prompts are kept, run the same command again to continue";
  return command;
}

}  // namespace wanlite::cli
