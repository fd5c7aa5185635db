// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cstdio>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/cli/child_process.h"
#include "src/cli/evaluate_videos_command.h"
#include "src/cli/options.h"
#include "src/core/libtorch.h"
#include "src/digits/digits_set.h"
#include "src/evaluate/evaluate.h"
#include "src/evaluate/evaluate_cache.h"
#include "src/evaluate/folder_set.h"
#include "src/metrics/text_video_encoder.h"
#include "src/report/evaluation_html.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite::cli {
namespace {

// Memory does not grow with the number of steps, so the measured run takes few: all networks are
// loaded before the first one.
constexpr int64_t kMemorySteps = 2;

struct EvaluateArgs {
  std::string original;
  std::vector<std::string> compressed;
  std::string save, report;
  std::vector<std::string> prompts;
  std::string prompts_file, set, real, text_encoder, cache;
  int64_t seeds = 1, repeats = 3, set_clips = 48;
  uint64_t set_seed = 1000;
  bool no_memory = false;
  DeviceOptions device;
  RequestOptions request;
  VideosOptions videos;
};

// Runs one generation in a process of its own and reads what it says about its memory.
absl::StatusOr<int64_t> MeasurePeak(const EvaluateArgs& options, const GenerateSettings& settings,
                                    const std::string& dir, const std::string& prompt, bool decode,
                                    bool two_experts, Session& session) {
  RequestOptions request = options.request;
  request.steps = std::min(settings.steps, kMemorySteps);
  request.frames = settings.frames;
  request.height = settings.height;
  request.width = settings.width;
  request.guidance = settings.guidance;
  request.guidance_2 = settings.guidance_2;
  // Of a run with more steps than this one, and of two experts, which not all models have.
  request.timesteps.clear();
  request.boundary_step.reset();
  if (!two_experts) {
    request.boundary.reset();
    request.guidance_2.reset();
  }
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
  WANLITE_ASSIGN_OR_RETURN(const std::string output, RunSelf(arguments, session.cancel()));
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  const auto peak = json.is_object() ? json.find("peak_rss_bytes") : json.end();
  if (peak == json.end() || !peak->is_number_integer()) {
    return absl::InternalError("the process that measures memory printed no peak_rss_bytes");
  }
  return peak->get<int64_t>();
}

absl::Status SaveFrames(const EvaluateReport& report, const std::string& dir, Session& session) {
  if (report.original_examples.empty()) {
    return absl::FailedPreconditionError("--save needs a VAE in all folders");
  }
  WANLITE_RETURN_IF_ERROR(session.env().CreateFolders(dir));
  VideoOptions video;
  video.fps = report.settings.fps;
  const auto write = [&](const std::string& name, const at::Tensor& frames) {
    return WriteVideo(session.env(), JoinPath(dir, name), frames, video);
  };
  std::vector<at::Tensor> all{report.original_examples.front().frames};
  WANLITE_RETURN_IF_ERROR(write("original.png", all.front()));
  for (const CandidateReport& candidate : report.candidates) {
    if (candidate.examples.empty()) continue;
    all.push_back(candidate.examples.front().frames);
    const bool alone = report.candidates.size() == 1;
    WANLITE_RETURN_IF_ERROR(
        write((alone ? "compressed" : candidate.model.name) + ".png", all.back()));
  }
  return write("side_by_side.png", at::cat(all, /*dim=*/2));
}

bool IsModelFolder(Env& env, const std::string& dir) {
  for (const char* name : {"wanlite.json", "model_index.json", "config.json"}) {
    if (env.FileExists(JoinPath(dir, name))) return true;
  }
  return false;
}

// Model folders as they are; a folder of model folders stands for all of them.
absl::StatusOr<std::vector<std::string>> ExpandCandidates(const std::vector<std::string>& named,
                                                          Env& env) {
  std::vector<std::string> dirs;
  for (const std::string& dir : named) {
    std::vector<std::string> inside;
    if (env.FolderExists(dir) && !IsModelFolder(env, dir)) {
      WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
      for (const std::string& name : names) {
        const std::string path = JoinPath(dir, name);
        if (env.FolderExists(path) && IsModelFolder(env, path)) inside.push_back(path);
      }
    }
    if (inside.empty()) inside.push_back(dir);  // opened as it is, with the errors of opening
    dirs.insert(dirs.end(), inside.begin(), inside.end());
  }
  return dirs;
}

// The set that --set or --real describe, with its extractors; null when there is neither.
absl::StatusOr<std::unique_ptr<EvaluationSet>> MakeSet(const EvaluateArgs& options,
                                                       const std::vector<std::string>& prompts,
                                                       Session& session) {
  std::unique_ptr<EvaluationSet> set;
  if (options.set.empty() && options.real.empty()) {
    if (!options.text_encoder.empty()) {
      return absl::InvalidArgumentError("--text-video-encoder needs --set or --real");
    }
    if (options.videos.extractors.empty()) return set;
    return absl::InvalidArgumentError("--extractor needs --set, --real or --videos");
  }
  if (!options.set.empty() && !options.real.empty()) {
    return absl::InvalidArgumentError("--set and --real exclude each other");
  }
  std::vector<std::string> defaults{"transnetv2"};
  if (!options.set.empty()) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(options.set, absl::MaxSplits(':', 1));
    if (parts.first != "digits" || parts.second.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set is '", options.set, "', wanted digits:DIR"));
    }
    WANLITE_ASSIGN_OR_RETURN(
        EvaluationSet made,
        digits::MakeDigitsSet(session.env(), parts.second, options.set_clips, options.set_seed));
    set = std::make_unique<EvaluationSet>(std::move(made));
    defaults.insert(defaults.begin(), "digits:" + JoinPath(parts.second, "classifier"));
  } else {
    if (prompts.empty()) {
      return absl::InvalidArgumentError("--real needs --prompt or --prompts-file");
    }
    WANLITE_ASSIGN_OR_RETURN(EvaluationSet made,
                             MakeFolderSet(session.env(), options.real, prompts, options.seeds,
                                           options.request.seed.value_or(0)));
    set = std::make_unique<EvaluationSet>(std::move(made));
    if (!options.cache.empty()) {
      WANLITE_ASSIGN_OR_RETURN(const std::string digest,
                               FolderDigest(session.env(), options.real, &session.cancel()));
      set->fingerprint = absl::StrCat("folder,", digest);
    }
  }
  if (!options.text_encoder.empty()) {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<TextVideoEncoder> loaded,
                             OpenTextVideoEncoder(session.env(), options.text_encoder));
    const std::shared_ptr<const TextVideoEncoder> encoder = std::move(loaded);
    set->encoder_name = encoder->name();
    set->embed_text = [encoder](const std::string& text) { return encoder->EmbedText(text); };
    set->embed_clip = [encoder](const at::Tensor& clip) { return encoder->EmbedClip(clip); };
  }
  WANLITE_ASSIGN_OR_RETURN(OpenedExtractors opened,
                           OpenExtractors(options.videos, defaults, session.env()));
  for (auto& extractor : opened.extractors) set->extractors.push_back(std::move(extractor));
  for (const auto& [spec, why] : opened.missing) {
    std::fprintf(stderr, "note: no distance by %s: %s\n", spec.c_str(), OneLine(why).c_str());
  }
  return set;
}

// With --json people read standard error; the table has it of its own.
void WarnOfMemory(const ModelReport& model) {
  if (model.peak_rss_warning.empty()) return;
  std::fprintf(stderr, "warning: %s: %s\n", model.name.c_str(), model.peak_rss_warning.c_str());
}

absl::Status CompareModels(const EvaluateArgs& options, Session& session) {
  EvaluateOptions evaluate;
  evaluate.original = options.original;
  WANLITE_ASSIGN_OR_RETURN(evaluate.candidates,
                           ExpandCandidates(options.compressed, session.env()));
  if (!options.report.empty()) {
    WANLITE_RETURN_IF_ERROR(session.env().CheckOutputFile(options.report));
  }
  if (!options.save.empty()) {
    WANLITE_RETURN_IF_ERROR(session.env().CreateFolders(options.save));
    WANLITE_RETURN_IF_ERROR(session.env().CheckOutputFile(JoinPath(options.save, "original.png")));
  }
  WANLITE_ASSIGN_OR_RETURN(evaluate.request, options.request.Resolve(session));
  WANLITE_ASSIGN_OR_RETURN(evaluate.runner, options.device.Resolve(session));
  WANLITE_ASSIGN_OR_RETURN(evaluate.prompts,
                           AllPrompts(session, options.prompts, options.prompts_file));
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<EvaluationSet> set,
                           MakeSet(options, evaluate.prompts, session));
  evaluate.set = set.get();
  evaluate.seeds = options.seeds;
  evaluate.repeats = options.repeats;
  evaluate.cache = options.cache;
  evaluate.distance.resamples = options.videos.resamples;
  WANLITE_ASSIGN_OR_RETURN(evaluate.distance.divisor, ParseDivisor(options.videos.divisor));
  if (!options.no_memory) {
    evaluate.peak_rss = [&](const EvaluateReport& report, const std::string& dir) {
      const auto has_two = [&](const ModelReport& model) {
        return model.dir == dir && model.component_parameters.contains("transformer_2");
      };
      const bool two_experts =
          has_two(report.original) ||
          std::any_of(report.candidates.begin(), report.candidates.end(),
                      [&](const CandidateReport& candidate) { return has_two(candidate.model); });
      return MeasurePeak(options, report.settings, dir, report.prompts.front(),
                         !report.original_examples.empty(), two_experts, session);
    };
  }
  WANLITE_ASSIGN_OR_RETURN(const EvaluateReport report,
                           Evaluate(session.env(), session.architectures(), evaluate));
  if (!options.save.empty()) WANLITE_RETURN_IF_ERROR(SaveFrames(report, options.save, session));
  if (!options.report.empty()) {
    WANLITE_RETURN_IF_ERROR(WriteEvaluationHtml(session.env(), options.report, report));
  }
  if (session.json) {
    for (const CandidateReport& candidate : report.candidates) {
      WarnOfMemory(candidate.model);
    }
    WarnOfMemory(report.original);
    session.PrintJsonText(EvaluationJson(report));
  } else {
    session.Say(EvaluationTable(report));
    if (!options.report.empty()) session.Say(absl::StrCat("Report: ", options.report, "\n"));
  }
  return absl::OkStatus();
}

absl::Status RunEvaluate(const EvaluateArgs& options, Session& session) {
  const bool videos = !options.videos.videos.empty() || !options.videos.reference.empty();
  const bool models = !options.original.empty() || !options.compressed.empty();
  if (videos && models) {
    return absl::InvalidArgumentError(
        "two folders of clips and models are evaluated one at a time");
  }
  if (videos) return RunVideos(options.videos, session);
  const bool alone = !options.set.empty() || !options.real.empty();
  if (options.original.empty() || (options.compressed.empty() && !alone)) {
    return absl::InvalidArgumentError(
        "wanted --original and --compressed, or --original and --set or --real for the original "
        "alone, or --videos and --reference");
  }
  return CompareModels(options, session);
}

}  // namespace

Command AddEvaluate(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "evaluate", "Compare compressed models with their original, or two folders of clips",
      "wanlite evaluate --original examples/digits/model --compressed small --json\n"
      "  wanlite evaluate --original examples/digits/model --compressed checkpoints \\\n"
      "                   --set digits:examples/digits --report report.html\n\n"
      "Each compressed model and the original run in turns on the same noise and prompts; the "
      "first\n"
      "run is not timed. Peak memory is that of a process of its own per model. With --set or "
      "--real\n"
      "the distances to real clips are measured too: distance of compressed to real minus that of\n"
      "original to real, and of compressed to original, each with its extractor, floor and "
      "interval.\n"
      "A folder of model folders under --compressed stands for all of them. Without --compressed\n"
      "the original alone is measured over the set: how far it is from real clips, and how many\n"
      "times the floor between two sets of real clips that is.\n\n"
      "JSON: original, compressed and paired (the first compressed model, null without one),\n"
      "candidates (all: model, paired, quality), set, settings, warnings, machine. psnr_db of\n"
      "identical clips counts as 100; psnr_db and ssim are null without a VAE. distances: "
      "to_real,\n"
      "over_floor (to_real / floor), to_original, delta (to_real minus the original's) and\n"
      "delta_interval (paired bootstrap). gflop_per_step counts 2 per multiply-add, INT8 or not;\n"
      "int8_gop_per_step is the part of it that is INT8.\n\n" +
          VideosHelp());
  CLI::App* app = command.app;
  auto options = std::make_shared<EvaluateArgs>();
  app->add_option("--original", options->original, "model folder")->type_name("DIR");
  app->add_option("--compressed", options->compressed,
                  "model folder, or a folder of them; may be repeated")
      ->type_name("DIR");
  app->add_option("--report", options->report, "HTML file to write: everything on one page")
      ->type_name("FILE");
  app->add_option("--prompt", options->prompts,
                  "may be repeated (default: the original folder's own prompts)")
      ->type_name("TEXT");
  app->add_option("--prompts-file", options->prompts_file, "one prompt a line")->type_name("FILE");
  app->add_option("--seeds", options->seeds, "seeds for each prompt, from --seed on")
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--repeats", options->repeats, "timed runs of each model, at least")
      ->type_name("N")
      ->capture_default_str();
  app->add_option(
         "--set", options->set,
         "evaluation set with prompts, real clips and readers: digits:DIR, where DIR is like "
         "examples/digits")
      ->type_name("SET");
  app->add_option("--set-clips", options->set_clips, "prompts of the set")
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--set-seed", options->set_seed, "of the set's prompts, clips and noise")
      ->check(FitsUint64())
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--real", options->real,
                  "folder of real clips to measure distances to, in place of --set")
      ->type_name("DIR");
  app->add_option(
         "--text-video-encoder", options->text_encoder,
         "TorchScript file with encode_text(text: str) and encode_video(video: Tensor), for "
         "alignment scores in place of the set's own encoder")
      ->type_name("FILE");
  app->add_option("--cache", options->cache,
                  "folder that keeps the original's clips and the features of real ones, so that "
                  "the next evaluation of this original makes neither again")
      ->type_name("DIR");
  app->add_flag("--no-memory", options->no_memory, "do not measure peak memory");
  app->add_option("--save", options->save, "folder for the first clip of each, and side by side")
      ->type_name("DIR");
  AddVideosOptions(app, options->videos);
  options->request.Add(app);
  options->device.Add(app);
  command.run = [options](Session& session) { return RunEvaluate(*options, session); };
  return command;
}

}  // namespace wanlite::cli
