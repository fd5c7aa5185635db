// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/cli/options.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/core/libtorch.h"
#include "src/evaluate/protocols.h"
#include "src/runner/generate_settings.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::cli {

CLI::App* AddCommand(CLI::App& root, const std::string& name, const std::string& description,
                     const std::string& example) {
  CLI::App* app = root.add_subcommand(name, description);
  app->footer("\nExample:\n  " + example);
  return app;
}

CLI::Validator FitsUint64() {
  return CLI::Validator(
      [](std::string& text) {
        std::string digits = text;  // as CLI11 reads them, with separators
        digits.erase(std::remove_if(digits.begin(), digits.end(),
                                    [](char c) { return c == '_' || c == '\''; }),
                     digits.end());
        errno = 0;
        std::strtoull(digits.c_str(), nullptr, 0);
        const bool fits = errno != ERANGE && !absl::StartsWith(digits, "-");
        return fits ? std::string()
                    : absl::StrCat("is ", text, ", it must lie in [0, 18446744073709551615]");
      },
      "");
}

void ModelOptions::Add(CLI::App* app) {
  app->add_option("--model", model,
                  "model folder: diffusers layout, original Wan files, or a wanlite checkpoint")
      ->required()
      ->type_name("DIR");
  app->add_option("--config", config, "config.json, for a folder that has none")->type_name("FILE");
}

void DeviceOptions::Add(CLI::App* app) {
  app->add_option("--device", device, "cpu, cuda or cuda:N")->capture_default_str();
  app->add_option("--dtype", dtype,
                  "fp32 or bf16; quantized weights stay as they are, the VAE in fp32")
      ->capture_default_str();
  app->add_option("--numerics", numerics,
                  "where values are rounded in bf16: official (Wan's code) or diffusers")
      ->capture_default_str();
  app->add_option("--threads", threads, "CPU threads (default: all cores)")->type_name("N");
}

absl::StatusOr<RunnerOptions> DeviceOptions::Resolve(Session& session) const {
  if (threads < 0 || threads > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads is ", threads, ", it must lie in [1, 4096]"));
  }
  if (threads > 0) at::set_num_threads(threads);
  RunnerOptions options;
  WANLITE_ASSIGN_OR_RETURN(options.device, ParseDevice(device));
  WANLITE_ASSIGN_OR_RETURN(options.dtype, ParseComputeDtype(dtype));
  WANLITE_ASSIGN_OR_RETURN(options.numerics, ParseNumerics(numerics));
  options.progress = &session.progress();
  options.cancel = &session.cancel();
  return options;
}

void RequestOptions::Add(CLI::App* app) {
  const std::string by_model = " (default: the model's own)";
  app->add_option("--protocol", protocol,
                  "settings of a published benchmark where no option says otherwise; a wrong name "
                  "lists those there are")
      ->type_name("NAME");
  app->add_option("--negative-prompt", negative_prompt, "what the video should not show" + by_model)
      ->type_name("TEXT");
  app->add_option("--steps", steps, "denoising steps" + by_model)->type_name("N");
  app->add_option("--seed", seed, "of the noise, as torch.manual_seed (default: 0)")
      ->check(FitsUint64())
      ->type_name("N");
  app->add_option("--frames", frames, "frames of the video, 4 k + 1 for Wan" + by_model)
      ->type_name("N");
  app->add_option("--height", height, "pixels" + by_model)->type_name("N");
  app->add_option("--width", width, "pixels" + by_model)->type_name("N");
  app->add_option("--guidance", guidance, "classifier-free guidance; 1 is none" + by_model)
      ->type_name("G");
  app->add_option("--guidance-2", guidance_2, "of the low-noise expert (default: as --guidance)")
      ->type_name("G");
  app->add_option("--shift", shift,
                  "timestep shift; more spends more steps at high noise" + by_model)
      ->type_name("S");
  app->add_option("--boundary", boundary,
                  "share of the timesteps below which the low-noise expert takes over" + by_model)
      ->type_name("R");
  app->add_option("--boundary-step", boundary_step,
                  "step from which the low-noise expert takes over, counted from 0, in place of "
                  "--boundary" +
                      by_model)
      ->type_name("N");
  app->add_option("--timesteps", timesteps,
                  "steps of a few-step model before the shift, as in 1000,750,500,250, in place of "
                  "--steps" +
                      by_model)
      ->delimiter(',')
      ->type_name("T,T,...");
  app->add_option("--sampler", sampler, "unipc, euler or lcm (few steps)" + by_model)
      ->type_name("NAME");
  app->add_option(
         "--prompt-embeds", prompt_embeds,
         "safetensors with prompt_embeds and negative_prompt_embeds [1, tokens, dim], in place "
         "of the text encoder")
      ->type_name("FILE");
  app->add_option(
         "--initial-latents", initial_latents,
         "safetensors with initial_latents [1, channels, frames, height, width], in place of "
         "--seed")
      ->type_name("FILE");
}

absl::StatusOr<GenerateRequest> RequestOptions::Resolve(Session& session) const {
  GenerateRequest request;
  if (!protocol.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const Protocol found, FindProtocol(protocol));
    request = found.request;
  }
  const auto set = [](auto& field, const auto& value) {
    if (value) field = *value;
  };
  set(request.seed, seed);
  set(request.negative_prompt, negative_prompt);
  set(request.steps, steps);
  set(request.frames, frames);
  set(request.height, height);
  set(request.width, width);
  set(request.guidance, guidance);
  set(request.guidance_2, guidance_2);
  set(request.shift, shift);
  set(request.boundary_ratio, boundary);
  set(request.boundary_step, boundary_step);
  if (boundary) request.boundary_step.reset();
  if (boundary_step) request.boundary_ratio.reset();
  if (boundary && boundary_step) {
    return absl::InvalidArgumentError("--boundary and --boundary-step exclude each other");
  }
  if (!timesteps.empty()) {
    request.timesteps = timesteps;
    if (!steps) request.steps.reset();  // of a protocol
  }
  if (sampler) {
    WANLITE_ASSIGN_OR_RETURN(request.sampler, ParseSampler(*sampler));
  }
  if (!prompt_embeds.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const auto tensors, ReadTensors(session.env(), prompt_embeds));
    const auto positive = tensors.find("prompt_embeds");
    if (positive == tensors.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", prompt_embeds, "' has no tensor prompt_embeds"));
    }
    request.prompt_embeds = positive->second;
    const auto negative = tensors.find("negative_prompt_embeds");
    if (negative != tensors.end()) request.negative_prompt_embeds = negative->second;
  }
  if (!initial_latents.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const auto tensors, ReadTensors(session.env(), initial_latents));
    const auto latents = tensors.find("initial_latents");
    if (latents == tensors.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", initial_latents, "' has no tensor initial_latents"));
    }
    request.initial_latents = latents->second;
  }
  return request;
}

void AppendArgument(const std::string& name, const std::string& value,
                    std::vector<std::string>& arguments) {
  if (value.empty()) {
    // "--name=" would count as no value.
    arguments.insert(arguments.end(), {name, value});
  } else {
    // In one piece, since a value may start with a dash.
    arguments.push_back(name + "=" + value);
  }
}

std::vector<std::string> RequestOptions::Arguments() const {
  std::vector<std::string> arguments;
  const auto add = [&](const char* name, const auto& value) {
    if (value) AppendArgument(name, absl::StrCat(*value), arguments);
  };
  add("--negative-prompt", negative_prompt);
  add("--steps", steps);
  add("--frames", frames);
  add("--height", height);
  add("--width", width);
  add("--guidance", guidance);
  add("--guidance-2", guidance_2);
  add("--shift", shift);
  add("--boundary", boundary);
  add("--boundary-step", boundary_step);
  if (!timesteps.empty()) AppendArgument("--timesteps", absl::StrJoin(timesteps, ","), arguments);
  add("--sampler", sampler);
  add("--seed", seed);
  if (!protocol.empty()) arguments.push_back("--protocol=" + protocol);
  if (!prompt_embeds.empty()) arguments.push_back("--prompt-embeds=" + prompt_embeds);
  if (!initial_latents.empty()) arguments.push_back("--initial-latents=" + initial_latents);
  return arguments;
}

void ShapeOptions::Add(CLI::App* app) {
  app->add_option("--height", height, "pixels")->type_name("N");
  app->add_option("--width", width, "pixels")->type_name("N");
  app->add_option("--frames", frames, "frames of the video, 4 k + 1 for Wan")->type_name("N");
  app->add_option("--text-length", text_length, "padded text tokens")->type_name("N");
}

VideoShape ShapeOptions::Resolve(const GenerateSettings& defaults,
                                 int64_t default_text_length) const {
  return VideoShape{frames.value_or(defaults.frames), height.value_or(defaults.height),
                    width.value_or(defaults.width), text_length.value_or(default_text_length)};
}

absl::StatusOr<LoraSpec> ParseLoraSpec(const std::string& text) {
  LoraSpec spec;
  spec.path = text;
  if (const size_t equals = text.find('=');
      equals != std::string::npos && text.find('/') > equals && text.find('.') > equals) {
    spec.component = text.substr(0, equals);
    spec.path = text.substr(equals + 1);
  }
  if (const size_t colon = spec.path.rfind(':'); colon != std::string::npos) {
    if (!absl::SimpleAtod(spec.path.substr(colon + 1), &spec.strength) ||
        !std::isfinite(spec.strength)) {
      return absl::InvalidArgumentError(absl::StrCat("'", spec.path.substr(colon + 1),
                                                     "' after the last colon of '", text,
                                                     "' is no strength, which is a number"));
    }
    spec.path.resize(colon);
  }
  if (!spec.path.empty()) return spec;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' names no file; wanted is [COMPONENT=]FILE[:STRENGTH]"));
}

absl::StatusOr<std::map<std::string, at::Tensor>> ReadTensors(Env& env, const std::string& path) {
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorSource> source,
                           OpenSafetensors(env, path));
  std::map<std::string, at::Tensor> tensors;
  for (const TensorInfo& info : source->tensors()) {
    WANLITE_ASSIGN_OR_RETURN(tensors[info.name], source->Read(info.name));
  }
  return tensors;
}

absl::StatusOr<std::vector<std::string>> AllPrompts(Session& session,
                                                    std::vector<std::string> prompts,
                                                    const std::string& file) {
  if (file.empty()) return prompts;
  WANLITE_ASSIGN_OR_RETURN(const std::string bytes, session.env().ReadFile(file));
  absl::string_view text = bytes;
  // A byte-order mark is not part of the first prompt; UTF-16 would be no prompt at all.
  absl::ConsumePrefix(&text, "\xEF\xBB\xBF");
  if (absl::StartsWith(text, "\xFF\xFE") || absl::StartsWith(text, "\xFE\xFF")) {
    return absl::InvalidArgumentError(absl::StrCat("'", file, "' is UTF-16, wanted UTF-8"));
  }
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) prompts.emplace_back(line);
  }
  if (prompts.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("'", file, "' holds no prompt"));
  }
  return prompts;
}

Json OpsJson(const ForwardOps& ops) {
  constexpr double kGiga = 1e9;
  return Json{{"linear", ops.linear.dense / kGiga},
              {"self_attention", ops.self_attention.dense / kGiga},
              {"cross_attention", ops.cross_attention.dense / kGiga},
              {"convolution", ops.convolution.dense / kGiga},
              {"total", ops.total().dense / kGiga},
              {"int8", ops.total().int8 / kGiga}};
}

Json AllSettingsJson(const GenerateSettings& settings) {
  Json json = SettingsJson(settings);
  json["fps"] = settings.fps;
  json["negative_prompt"] = settings.negative_prompt;
  return json;
}

}  // namespace wanlite::cli
