// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/core/libtorch.h"
#include "src/core/text_table.h"
#include "src/evaluate/vbench.h"
#include "wanlite/checkpoint.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite::cli {
namespace {

struct GenerateArgs {
  ModelOptions model;
  DeviceOptions device;
  RequestOptions request;
  std::optional<std::string> prompt;
  std::string out, sheet, save_latents, vbench;
  std::vector<std::string> loras;
  int64_t vbench_index = 0;
  std::optional<double> fps;
  VideoOptions video;
  // What memory is measured on: a run that writes nothing, with or without the VAE.
  bool discard = false, decode = false;
};

absl::Status CheckOutputs(const GenerateArgs& options, Session& session) {
  if (options.out.empty() && options.sheet.empty() && options.save_latents.empty() &&
      options.vbench.empty() && !options.discard) {
    return absl::InvalidArgumentError(
        "nothing to write: give --out, --sheet, --save-latents or --vbench");
  }
  if (!options.vbench.empty()) {
    if (!options.prompt) return absl::InvalidArgumentError("--vbench needs --prompt");
    // Before minutes of work: a name that cannot be, or a build that writes no MP4.
    WANLITE_RETURN_IF_ERROR(VBenchFileName(*options.prompt, options.vbench_index).status());
    WANLITE_RETURN_IF_ERROR(CheckVideoPath("vbench.mp4", options.video));
  }
  if (!options.prompt && options.request.prompt_embeds.empty()) {
    return absl::InvalidArgumentError("give --prompt or --prompt-embeds");
  }
  if (options.prompt && !options.request.prompt_embeds.empty()) {
    return absl::InvalidArgumentError("--prompt and --prompt-embeds exclude each other");
  }
  if (!options.out.empty()) WANLITE_RETURN_IF_ERROR(CheckVideoPath(options.out, options.video));
  if (!options.sheet.empty()) {
    WANLITE_RETURN_IF_ERROR(CheckSheetPath(options.sheet, options.video));
  }
  std::vector<std::string> outputs{options.out, options.sheet, options.save_latents};
  if (!options.vbench.empty()) {
    WANLITE_RETURN_IF_ERROR(session.env().CreateFolders(options.vbench));
    WANLITE_ASSIGN_OR_RETURN(const std::string name,
                             VBenchFileName(*options.prompt, options.vbench_index));
    outputs.push_back(JoinPath(options.vbench, name));
  }
  std::set<std::string> places;
  for (const std::string& path : outputs) {
    if (path.empty()) continue;
    WANLITE_RETURN_IF_ERROR(session.env().CheckOutputFile(path));
    WANLITE_ASSIGN_OR_RETURN(const std::string folder, session.env().ResolvePath(Dirname(path)));
    if (!places.insert(JoinPath(folder, Basename(path))).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", path, "' is named for two outputs, of which one would be lost"));
    }
  }
  return absl::OkStatus();
}

// What a format does not take is found before the work, not after it.
absl::Status CheckSizes(const GenerateArgs& options, const GenerateSettings& settings) {
  for (const std::string& path :
       {options.out, std::string(options.vbench.empty() ? "" : "vbench.mp4")}) {
    if (path.empty()) continue;
    WANLITE_RETURN_IF_ERROR(CheckVideoPath(path, options.video, settings.height, settings.width));
  }
  return absl::OkStatus();
}

absl::Status RunGenerate(GenerateArgs options, Session& session) {
  if (options.fps) options.video.fps = *options.fps;
  WANLITE_RETURN_IF_ERROR(CheckOutputs(options, session));
  WANLITE_ASSIGN_OR_RETURN(GenerateRequest request, options.request.Resolve(session));
  WANLITE_ASSIGN_OR_RETURN(RunnerOptions runner_options, options.device.Resolve(session));
  runner_options.config_path = options.model.config;
  runner_options.free_text_encoder = true;
  for (const std::string& text : options.loras) {
    WANLITE_ASSIGN_OR_RETURN(runner_options.loras.emplace_back(), ParseLoraSpec(text));
  }
  request.prompt = options.prompt.value_or("");
  request.decode =
      !options.out.empty() || !options.sheet.empty() || !options.vbench.empty() || options.decode;
  WANLITE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Runner> runner,
      Runner::Open(session.env(), options.model.model, session.architectures(), runner_options));
  session.SayNotes(runner->folder().notes());
  session.SayNotes(runner->lora_notes());
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings planned, runner->Resolve(request));
  if (!options.fps) options.video.fps = planned.fps;
  WANLITE_RETURN_IF_ERROR(CheckSizes(options, planned));
  WANLITE_ASSIGN_OR_RETURN(const GenerateResult result, runner->Generate(request));
  for (const std::string& warning : result.warnings) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }

  std::vector<std::string> written;
  if (!options.save_latents.empty()) {
    WANLITE_RETURN_IF_ERROR(
        WriteSafetensors(session.env(), options.save_latents, {{"latents", result.latents}})
            .status());
    written.push_back(options.save_latents);
  }
  if (!options.out.empty()) {
    WANLITE_RETURN_IF_ERROR(WriteVideo(session.env(), options.out, result.frames, options.video));
    written.push_back(options.out);
  }
  if (!options.sheet.empty()) {
    WANLITE_RETURN_IF_ERROR(
        WriteContactSheet(session.env(), options.sheet, result.frames, 0, options.video));
    written.push_back(options.sheet);
  }
  if (!options.vbench.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const std::string path,
                             ExportVBench(session.env(), options.vbench, *options.prompt,
                                          options.vbench_index, result.frames, options.video.fps));
    written.push_back(path);
  }
  if (session.json) {
    session.PrintJson(Json{{"written", written},
                           {"settings", AllSettingsJson(result.settings)},
                           {"seed", request.seed},
                           {"calls", result.calls},
                           {"warnings", result.warnings},
                           {"text_seconds", result.text_seconds},
                           {"denoise_seconds", result.denoise_seconds},
                           {"decode_seconds", result.decode_seconds},
                           {"peak_rss_bytes", PeakRssBytes()}});
    return absl::OkStatus();
  }
  const GenerateSettings& settings = result.settings;
  std::string text;
  for (const std::string& path : written) absl::StrAppend(&text, path, "\n");
  absl::StrAppend(&text, settings.frames, " frames of ", settings.width, "x", settings.height, ", ",
                  settings.steps, " ", SamplerName(settings.sampler), " steps: text ",
                  FormatSeconds(result.text_seconds), ", denoising ",
                  FormatSeconds(result.denoise_seconds), ", decoding ",
                  FormatSeconds(result.decode_seconds), ", peak memory ",
                  FormatBytes(PeakRssBytes()), "\n");
  session.Say(text);
  return absl::OkStatus();
}

}  // namespace

Command AddGenerate(CLI::App& root) {
  Command command;
  command.app =
      AddCommand(root, "generate", "Make a video from a prompt",
                 "wanlite generate --model examples/digits/model --prompt \"a red digit 3 moves "
                 "right\" --seed 7 --out clip.webp");
  CLI::App* app = command.app;
  auto options = std::make_shared<GenerateArgs>();
  options->model.Add(app);
  app->add_option("--prompt", options->prompt, "what the video shows")->type_name("TEXT");
  options->request.Add(app);
  app->add_option("--lora", options->loras,
                  "LoRA file to run with, beside weights of any format; may be repeated. COMPONENT "
                  "where the file does not say which expert it is for: "
                  "transformer_2=low.safetensors:0.8")
      ->type_name("[COMPONENT=]FILE[:STRENGTH]")
      ->allow_extra_args(false);
  app->add_option("--out", options->out,
                  "video to write; the ending names the format: .png (animated), .webp, .y4m, .mp4")
      ->type_name("FILE");
  app->add_option("--sheet", options->sheet, "all frames side by side in one .png")
      ->type_name("FILE");
  app->add_option("--vbench", options->vbench,
                  "folder to add the video to under the file name that VBench expects, "
                  "PROMPT-INDEX.mp4")
      ->type_name("DIR");
  app->add_option("--vbench-index", options->vbench_index, "INDEX of the sample, 0 to 4 in VBench")
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--save-latents", options->save_latents,
                  "safetensors to write, tensor latents; without --out no VAE is needed")
      ->type_name("FILE");
  app->add_option("--fps", options->fps, "frames a second (default: the model's own)")
      ->type_name("R");
  app->add_option("--quality", options->video.quality, "1 to 100; WebP is lossless at 100")
      ->capture_default_str();
  app->add_option("--upscale", options->video.upscale, "make every pixel N x N")
      ->type_name("N")
      ->capture_default_str();
  app->add_flag("--discard", options->discard)->group("");
  app->add_flag("--decode", options->decode)->group("");
  options->device.Add(app);
  command.run = [options](Session& session) { return RunGenerate(*options, session); };
  return command;
}

}  // namespace wanlite::cli
