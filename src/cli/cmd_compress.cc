// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/cli/options.h"
#include "src/cli/processes.h"
#include "src/core/text_table.h"
#include "src/digits/digits_clip.h"
#include "src/metrics/text_video_encoder.h"
#include "wanlite/checkpoint.h"
#include "wanlite/metrics.h"
#include "wanlite/pipeline.h"
#include "wanlite/process_group.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct CompressArgs {
  ModelOptions model;
  std::string recipe, out, run_dir, samples, log_dir, clip;
  bool restart = false;
};

absl::Status RunCompress(const CompressArgs& options, Session& session) {
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<ProcessGroup> group, JoinProcesses(session));
  OpenOptions open;
  open.config_path = options.model.config;
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Load(session.env(), options.recipe, BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(
      const ModelFolder folder,
      ModelFolder::Open(session.env(), options.model.model, open, session.architectures()));
  session.SayNotes(folder.notes());
  CompressOptions compress;
  compress.out_dir = options.out;
  compress.run_dir = options.run_dir;
  compress.restart = options.restart;
  compress.log_dir =
      options.log_dir.empty() ? WithoutTrailingSlashes(options.out) + ".training" : options.log_dir;
  std::unique_ptr<VideoTextEncoder> clip;
  if (!options.clip.empty()) {
    absl::string_view spec = options.clip;
    WANLITE_ASSIGN_OR_RETURN(clip, absl::ConsumePrefix(&spec, "digits:")
                                       ? digits::OpenDigitsAlignment(session.env(), spec)
                                       : OpenTrainingEncoder(session.env(), spec));
    compress.alignment = clip.get();
  }
  compress.progress = &session.progress();
  compress.cancel = &session.cancel();
  compress.group = group.get();
  std::optional<SampleSet> samples;
  if (!options.samples.empty()) {
    SampleSetOptions verify;
    verify.verify = true;
    verify.cancel = &session.cancel();
    WANLITE_ASSIGN_OR_RETURN(samples, SampleSet::Open(session.env(), options.samples, verify));
    compress.samples = &*samples;
  }
  if (group != nullptr && group->rank() > 0) {
    return AssistFolder(session.env(), recipe, folder, session.architectures(), compress);
  }
  WANLITE_ASSIGN_OR_RETURN(
      const RunReport report,
      CompressFolder(session.env(), recipe, folder, session.architectures(), compress));
  WANLITE_ASSIGN_OR_RETURN(
      const ModelFolder made,
      ModelFolder::Open(session.env(), options.out, OpenOptions{}, session.architectures()));

  Json passes = Json::array();
  std::string text;
  for (const PassReport& pass : report.passes) {
    passes.push_back(Json{{"pass", pass.pass},
                          {"label", pass.label},
                          {"seconds", pass.seconds},
                          {"resumed", pass.resumed},
                          {"bytes_before", pass.bytes_before},
                          {"bytes_after", pass.bytes_after},
                          {"metrics", pass.metrics},
                          {"notes", pass.notes},
                          {"accepted", pass.accepted}});
    if (pass.gauge.has_value()) passes.back()["gauge"] = *pass.gauge;
    absl::StrAppend(&text, pass.label, ": ", FormatBytes(pass.bytes_before), " -> ",
                    FormatBytes(pass.bytes_after), " in ", FormatSeconds(pass.seconds),
                    pass.resumed ? " (continued an earlier run)" : "", "\n");
    for (const auto& [name, value] : pass.metrics) {
      absl::StrAppend(&text, "  ", name, " = ", value, "\n");
    }
    for (const std::string& note : pass.notes) absl::StrAppend(&text, "  ", note, "\n");
    if (pass.gauge.has_value()) absl::StrAppend(&text, "  quality = ", *pass.gauge, "\n");
    if (!pass.accepted) absl::StrAppend(&text, "  below the floor: not part of the result\n");
  }
  if (!report.stopped.empty()) absl::StrAppend(&text, "stopped: ", report.stopped, "\n");
  absl::StrAppend(
      &text, options.out, ": ", FormatBytes(made.bytes()), ", ",
      FormatRatio(static_cast<double>(made.bytes()), static_cast<double>(folder.bytes())), " of ",
      FormatBytes(folder.bytes()), "\n");
  if (session.json) {
    session.PrintJson(Json{{"out", options.out},
                           {"recipe", recipe.name()},
                           {"bytes_before", folder.bytes()},
                           {"bytes_after", made.bytes()},
                           {"passes", passes},
                           {"stopped", report.stopped},
                           {"peak_rss_bytes", PeakRssBytes()}});
  } else {
    session.Say(text);
  }
  return absl::OkStatus();
}

}  // namespace

Command AddCompress(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "compress", "Run a recipe over a model, block by block, and write a smaller checkpoint",
      "wanlite compress --model examples/digits/model --recipe "
      "examples/recipes/digits_int8.textproto --out small\n\n"
      "Interrupted or killed, the same command continues where it was. Several processes train\n"
      "together under wanlite launch or torchrun.");
  auto options = std::make_shared<CompressArgs>();
  options->model.Add(command.app);
  command.app->add_option("--recipe", options->recipe, "recipe as textproto (docs/recipe.md)")
      ->required()
      ->type_name("FILE");
  command.app->add_option("--out", options->out, "folder to make; appears when it is complete")
      ->required()
      ->type_name("DIR");
  command.app
      ->add_option("--samples", options->samples,
                   "recorded inputs of the model (wanlite record), for passes that calibrate")
      ->type_name("DIR");
  command.app
      ->add_option("--run-dir", options->run_dir, "where unfinished work lives (default: OUT.run)")
      ->type_name("DIR");
  command.app
      ->add_option("--clip", options->clip,
                   "text-video encoder for clip terms of distill: digits:DIR, or a TorchScript "
                   "file with encode_text and encode_video")
      ->type_name("CLIP");
  command.app
      ->add_option("--log-dir", options->log_dir,
                   "where distill and recover by MODEL log their steps, for wanlite "
                   "report-training (default: OUT.training)")
      ->type_name("DIR");
  command.app->add_flag("--restart", options->restart, "discard an unfinished run");
  command.run = [options](Session& session) { return RunCompress(*options, session); };
  command.resume = "finished blocks are kept, run the same command again to continue";
  return command;
}

}  // namespace wanlite::cli
