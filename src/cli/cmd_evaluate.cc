// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <torch/torch.h>

#include "absl/strings/str_cat.h"
#include "src/cli/child_process.h"
#include "src/cli/options.h"
#include "src/runner/evaluate.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite::cli {
namespace {

// Memory does not grow with the number of steps, so the measured run takes few: all networks are
// loaded before the first one.
constexpr int64_t kMemorySteps = 2;

struct Options {
  std::string original, compressed, save;
  std::vector<std::string> prompts;
  int64_t seeds = 1, repeats = 3;
  bool no_memory = false;
  DeviceOptions device;
  RequestOptions request;
};

// Runs one generation in a process of its own and reads what it says about its memory.
absl::StatusOr<int64_t> MeasurePeak(const Options& options, const GenerateSettings& settings,
                                    const std::string& dir, const std::string& prompt,
                                    bool decode) {
  RequestOptions request = options.request;
  request.steps = std::min(settings.steps, kMemorySteps);
  request.frames = settings.frames;
  request.height = settings.height;
  request.width = settings.width;
  request.guidance = settings.guidance;
  request.guidance_2 = settings.guidance_2;
  std::vector<std::string> arguments{"generate",
                                     "--json",
                                     "--quiet",
                                     "--model=" + dir,
                                     "--device=" + options.device.device,
                                     "--dtype=" + options.device.dtype,
                                     "--numerics=" + options.device.numerics,
                                     "--discard"};
  if (decode) arguments.push_back("--decode");
  if (options.device.threads > 0) {
    arguments.push_back(absl::StrCat("--threads=", options.device.threads));
  }
  for (const std::string& argument : request.Arguments()) arguments.push_back(argument);
  if (request.prompt_embeds.empty()) AppendArgument("--prompt", prompt, arguments);
  WANLITE_ASSIGN_OR_RETURN(const std::string output, RunSelf(arguments));
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  const auto peak = json.is_object() ? json.find("peak_rss_bytes") : json.end();
  if (peak == json.end() || !peak->is_number_integer()) {
    return absl::InternalError("the process that measures memory printed no peak_rss_bytes");
  }
  return peak->get<int64_t>();
}

absl::Status SaveFrames(const EvaluateReport& report, const std::string& dir, Session& session) {
  if (!report.original_frames.defined()) {
    return absl::FailedPreconditionError("--save needs a VAE in both folders");
  }
  WANLITE_RETURN_IF_ERROR(session.env().CreateFolders(dir));
  VideoOptions video;
  video.fps = report.settings.fps;
  const auto write = [&](const char* name, const at::Tensor& frames) {
    return WriteVideo(session.env(), JoinPath(dir, name), frames, video);
  };
  WANLITE_RETURN_IF_ERROR(write("original.png", report.original_frames));
  WANLITE_RETURN_IF_ERROR(write("compressed.png", report.compressed_frames));
  return write("side_by_side.png",
               at::cat({report.original_frames, report.compressed_frames}, /*dim=*/2));
}

absl::Status Run(const Options& options, Session& session) {
  EvaluateOptions evaluate;
  evaluate.original = options.original;
  evaluate.compressed = options.compressed;
  WANLITE_ASSIGN_OR_RETURN(evaluate.request, options.request.Resolve(session));
  WANLITE_ASSIGN_OR_RETURN(evaluate.runner, options.device.Resolve(session));
  evaluate.prompts = options.prompts;
  evaluate.seeds = options.seeds;
  evaluate.repeats = options.repeats;
  if (!options.no_memory) {
    evaluate.peak_rss = [&](const EvaluateReport& report, const std::string& dir) {
      return MeasurePeak(options, report.settings, dir, report.prompts.front(),
                         report.original_frames.defined());
    };
  }
  WANLITE_ASSIGN_OR_RETURN(const EvaluateReport report,
                           Evaluate(session.env(), session.architectures(), evaluate));
  if (!options.save.empty()) WANLITE_RETURN_IF_ERROR(SaveFrames(report, options.save, session));
  if (session.json) {
    session.PrintJsonText(EvaluationJson(report));
  } else {
    session.Say(EvaluationTable(report));
  }
  return absl::OkStatus();
}

}  // namespace

Command AddEvaluate(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "evaluate",
      "Compare a compressed model with its original: what was gained, what was lost",
      "wanlite evaluate --original examples/digits/model --compressed small --json\n\n"
      "Both run in turns on the same noise and prompts; the first run of each is not timed. Peak "
      "memory\n"
      "is that of a process of its own per model. In JSON psnr_db of identical clips counts as 100 "
      "(and\n"
      "`identical` is true when all are); psnr_db and ssim are null without a VAE. gflop_per_step "
      "counts\n"
      "2 per multiply-add, INT8 or not; int8_gop_per_step is the part of it that is INT8.");
  CLI::App* app = command.app;
  auto options = std::make_shared<Options>();
  app->add_option("--original", options->original, "model folder")->required()->type_name("DIR");
  app->add_option("--compressed", options->compressed, "model folder")
      ->required()
      ->type_name("DIR");
  app->add_option("--prompt", options->prompts,
                  "may be repeated (default: the original folder's own prompts)")
      ->type_name("TEXT");
  app->add_option("--seeds", options->seeds, "seeds for each prompt, from --seed on")
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--repeats", options->repeats, "timed runs of each model, at least")
      ->type_name("N")
      ->capture_default_str();
  app->add_flag("--no-memory", options->no_memory, "do not measure peak memory");
  app->add_option("--save", options->save, "folder for the first clip of both, and side by side")
      ->type_name("DIR");
  options->request.Add(app);
  options->device.Add(app);
  command.run = [options](Session& session) { return Run(*options, session); };
  return command;
}

}  // namespace wanlite::cli
