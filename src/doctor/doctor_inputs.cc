// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/doctor/doctor_inputs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/wan/sampler.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite {
namespace {

constexpr char kTextEncoder[] = "text_encoder";
constexpr char kVae[] = "vae";
// Beyond this a forward pass takes minutes, and the size is made small instead.
constexpr int64_t kLargestPixels = int64_t{17} * 256 * 256;
constexpr int64_t kSmallFrames = 5, kSmallSide = 256;

// Of the latents [1, channels, frames, height, width].
absl::StatusOr<std::vector<int64_t>> LatentShape(const ModelView& shapes,
                                                 const wan::DitConfig& denoiser,
                                                 const GenerateSettings& settings) {
  int64_t temporal = 4, spatial = 8;
  if (const Component* component = shapes.FindComponent(kVae); component != nullptr) {
    WANLITE_ASSIGN_OR_RETURN(const wan::VaeConfig vae, wan::ParseVaeConfig(component->config_json));
    temporal = vae.temporal_stride();
    spatial = vae.spatial_stride();
  }
  return std::vector<int64_t>{1, denoiser.in_channels, 1 + (settings.frames - 1) / temporal,
                              settings.height / spatial, settings.width / spatial};
}

}  // namespace

absl::StatusOr<std::vector<DoctorCase>> CasesOfRequest(Runner& runner, const GenerateRequest& given,
                                                       std::vector<std::string>& notes) {
  GenerateRequest request = given;
  WANLITE_ASSIGN_OR_RETURN(GenerateSettings settings, runner.Resolve(request));
  const bool own_size =
      given.frames || given.height || given.width || given.initial_latents.defined();
  if (!own_size && settings.frames * settings.height * settings.width > kLargestPixels) {
    request.frames = kSmallFrames;
    request.height = request.width = kSmallSide;
    WANLITE_ASSIGN_OR_RETURN(settings, runner.Resolve(request));
    notes.push_back(absl::StrCat("examined at ", kSmallFrames, " frames of ", kSmallSide, "x",
                                 kSmallSide,
                                 ", where faults show as well; --frames, --height and "
                                 "--width ask for more"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<ForwardCall> calls, runner.PlanForwards(request));
  const std::string prompt = !request.prompt.empty() || settings.prompts.empty()
                                 ? request.prompt
                                 : settings.prompts.front();
  std::vector<DoctorCase> cases;
  const bool has_encoder = runner.shapes().FindComponent(kTextEncoder) != nullptr &&
                           !runner.folder().tokenizer_dir().empty();
  if (request.prompt_embeds.defined()) {
    notes.push_back("the text encoder is not looked at: its output was given");
  } else if (has_encoder) {
    DoctorCase text;
    text.component = kTextEncoder;
    WANLITE_ASSIGN_OR_RETURN(text.inputs, runner.Tokenize("prompt", prompt, notes));
    text.description = absl::StrCat("prompt \"", prompt, "\"");
    cases.push_back(std::move(text));
  } else {
    notes.push_back("there is no text encoder with its tokenizer: noise stands for the text");
  }
  for (const Component& component : runner.shapes().components()) {
    if (component.role != ComponentRole::kDenoiser) continue;
    std::vector<ForwardCall> own;
    for (const ForwardCall& call : calls) {
      if (call.component == component.name && !call.negative) own.push_back(call);
    }
    if (own.empty()) {
      notes.push_back(absl::StrCat(component.name, " is left out: no step is its own"));
      continue;
    }
    const ForwardCall& call = own[own.size() / 2];
    WANLITE_ASSIGN_OR_RETURN(const wan::DitConfig config,
                             wan::ParseDitConfig(component.config_json));
    DoctorCase step;
    step.component = component.name;
    at::Tensor latents = request.initial_latents;
    if (!latents.defined()) {
      WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape,
                               LatentShape(runner.shapes(), config, settings));
      latents = wan::InitialLatents(shape, request.seed);
    }
    step.inputs["hidden_states"] = latents.to(at::kFloat);
    step.inputs["timestep"] = at::full({1}, call.timestep, at::kFloat);
    if (request.prompt_embeds.defined()) {
      step.inputs["encoder_hidden_states"] = request.prompt_embeds;
    } else if (has_encoder) {
      step.text_input = "encoder_hidden_states";
    } else {
      step.inputs["encoder_hidden_states"] =
          at::randn({1, config.text_len, config.text_dim},
                    at::detail::createCPUGenerator(MixSeed(request.seed, {1})));
    }
    step.description = absl::StrCat("timestep ", call.timestep, " (step ", call.step, " of ",
                                    settings.steps, "), noise of seed ", request.seed);
    cases.push_back(std::move(step));
  }
  return cases;
}

}  // namespace wanlite
