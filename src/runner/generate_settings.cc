// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/runner/generate_settings.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/metrics/size_step.h"
#include "wanlite/sampling.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

constexpr int64_t kMaxSteps = 10000;
constexpr int64_t kMaxSide = 1 << 14;
constexpr int64_t kMaxFrames = 1 << 14;
constexpr int64_t kMaxLatentValues = int64_t{1} << 31;

absl::Status CheckRange(absl::string_view what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, ", it must lie in [", low, ", ", high, "]"));
}

absl::Status CheckFinite(absl::string_view what, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, ", it must lie in [", low, ", ", high, "]"));
}

// A second guidance that would be dropped is refused: it was asked for.
absl::Status CheckSecondGuidance(const GenerateRequest& request, const LatentGeometry& geometry,
                                 GenerateSettings& settings) {
  if (!geometry.two_experts) {
    if (request.guidance_2 && *request.guidance_2 != settings.guidance) {
      return absl::InvalidArgumentError(absl::StrCat(
          "guidance 2 is ", *request.guidance_2,
          ", which needs two experts; this model has one, guided by ", settings.guidance));
    }
    settings.guidance_2 = settings.guidance;
  } else if (settings.guidance <= 1 && settings.guidance_2 > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("guidance 2 is ", settings.guidance_2, ", but guidance ", settings.guidance,
                     " turns guidance off for both experts, as in diffusers; give a guidance "
                     "above 1, or guidance 2 of 1 as well"));
  }
  return absl::OkStatus();
}

// Explicit timesteps of the folder are those of its own number of steps.
absl::Status ResolveSteps(const GenerateRequest& request, const GenerateSettings& defaults,
                          GenerateSettings& settings) {
  settings.steps = request.steps.value_or(defaults.steps);
  if (request.timesteps.has_value()) {
    const auto given = static_cast<int64_t>(request.timesteps->size());
    if (request.steps.has_value() && *request.steps != given) {
      return absl::InvalidArgumentError(
          absl::StrCat("steps is ", *request.steps, ", but ", given, " timesteps are given"));
    }
    settings.steps = given;
    settings.timesteps = *request.timesteps;
  } else if (settings.steps != defaults.steps) {
    settings.timesteps.clear();
  }
  return CheckRange("steps", settings.steps, 1, kMaxSteps);
}

absl::Status ResolveBoundary(const GenerateRequest& request, const GenerateSettings& defaults,
                             const LatentGeometry& geometry, GenerateSettings& settings) {
  if (request.boundary_ratio || request.boundary_step) {
    if (!geometry.two_experts) {
      return absl::InvalidArgumentError("a boundary needs two experts; this model has one");
    }
    if (request.boundary_ratio && request.boundary_step) {
      return absl::InvalidArgumentError(
          "boundary and boundary step are both given; the experts switch by one of them");
    }
    settings.boundary_step = request.boundary_step;
  } else if (settings.steps != defaults.steps) {
    settings.boundary_step.reset();
  }
  if (settings.boundary_step) {
    WANLITE_RETURN_IF_ERROR(
        CheckRange("boundary step", *settings.boundary_step, 0, settings.steps));
  }
  if (request.boundary_ratio) settings.boundary_ratio = *request.boundary_ratio;
  return CheckFinite("boundary", settings.boundary_ratio, 0, 1);
}

}  // namespace

absl::StatusOr<FolderDefaults> ParseFolderDefaults(const std::string& model_index_json,
                                                   const std::string& scheduler_config_json,
                                                   bool two_experts) {
  FolderDefaults defaults;
  if (scheduler_config_json.empty()) {
    defaults.scheduler.shift = SamplingDefaults().shift;
  } else {
    WANLITE_ASSIGN_OR_RETURN(defaults.scheduler,
                             wan::ParseFlowSchedulerConfig(scheduler_config_json));
  }
  GenerateSettings& settings = defaults.settings;
  settings.shift = defaults.scheduler.shift;
  settings.sampler = defaults.scheduler.solver == wan::SolverKind::kEuler ? Sampler::kEuler
                     : defaults.scheduler.solver == wan::SolverKind::kLcm ? Sampler::kLcm
                                                                          : Sampler::kUniPc;
  settings.timesteps = defaults.scheduler.timesteps;
  WANLITE_ASSIGN_OR_RETURN(const SamplingDefaults sampling,
                           ReadSampling({model_index_json, scheduler_config_json}));
  settings.steps = sampling.steps;
  settings.guidance = sampling.guidance;
  settings.guidance_2 = sampling.guidance_2;
  if (!settings.timesteps.empty() &&
      settings.steps != static_cast<int64_t>(settings.timesteps.size())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "scheduler_config.json has ", settings.timesteps.size(),
        " wanlite_timesteps, but model_index.json num_inference_steps ", settings.steps));
  }
  const double boundary = sampling.boundary_ratio;
  if (!model_index_json.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const JsonFields index,
                             JsonFields::Parse("model_index.json", model_index_json));
    WANLITE_ASSIGN_OR_RETURN(const JsonFields fields, index.Object("wanlite_defaults"));
    WANLITE_RETURN_IF_ERROR(fields.Int({"num_frames"}, settings.frames));
    WANLITE_RETURN_IF_ERROR(fields.Int({"height"}, settings.height));
    WANLITE_RETURN_IF_ERROR(fields.Int({"width"}, settings.width));
    WANLITE_RETURN_IF_ERROR(fields.Double({"fps"}, settings.fps));
    WANLITE_RETURN_IF_ERROR(
        CheckFinite("model_index.json: wanlite_defaults.fps", settings.fps, kMinFps, kMaxFps));
    WANLITE_RETURN_IF_ERROR(fields.String({"negative_prompt"}, settings.negative_prompt));
    WANLITE_RETURN_IF_ERROR(fields.Strings({"prompts"}, settings.prompts));
  }
  if (two_experts) {
    settings.boundary_ratio = boundary;
    settings.boundary_step = sampling.boundary_step;
  }
  if (!two_experts && !model_index_json.empty() && boundary > 0) {
    // As diffusers: one expert cannot be switched. A folder that lost its second one says so here,
    // not by a worse video.
    return absl::FailedPreconditionError(absl::StrCat(
        "model_index.json has boundary_ratio ", boundary, ", but the folder has no transformer_2"));
  }
  return defaults;
}

absl::StatusOr<GenerateSettings> ResolveSettings(const GenerateRequest& request,
                                                 const GenerateSettings& defaults,
                                                 const LatentGeometry& geometry) {
  GenerateSettings settings = defaults;
  settings.negative_prompt = request.negative_prompt.value_or(defaults.negative_prompt);
  WANLITE_RETURN_IF_ERROR(ResolveSteps(request, defaults, settings));
  settings.frames = request.frames.value_or(defaults.frames);
  settings.height = request.height.value_or(defaults.height);
  settings.width = request.width.value_or(defaults.width);
  settings.guidance = request.guidance.value_or(defaults.guidance);
  // As diffusers: a guidance that is given holds for both experts unless the second one is given
  // too.
  settings.guidance_2 = request.guidance_2.value_or(request.guidance.value_or(defaults.guidance_2));
  WANLITE_RETURN_IF_ERROR(CheckSecondGuidance(request, geometry, settings));
  settings.shift = request.shift.value_or(defaults.shift);
  settings.sampler = request.sampler.value_or(defaults.sampler);
  WANLITE_RETURN_IF_ERROR(ResolveBoundary(request, defaults, geometry, settings));
  const bool guided = settings.guidance > 1;
  if (guided && request.prompt_embeds.defined() && !request.negative_prompt_embeds.defined()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "guidance ", settings.guidance,
        " needs negative_prompt_embeds beside prompt_embeds; give them, or guidance 1"));
  }
  WANLITE_RETURN_IF_ERROR(CheckFinite("guidance", settings.guidance, 0, 1000));
  WANLITE_RETURN_IF_ERROR(CheckFinite("guidance 2", settings.guidance_2, 0, 1000));
  WANLITE_RETURN_IF_ERROR(CheckFinite("shift", settings.shift, 1e-3, 1e3));

  if (request.initial_latents.defined()) {
    const at::Tensor& latents = request.initial_latents;
    if (latents.dim() != 5 || latents.size(0) != 1 || latents.size(1) != geometry.channels ||
        latents.numel() == 0 || !latents.is_floating_point()) {
      return absl::InvalidArgumentError(
          absl::StrCat("initial_latents must be floating [1, ", geometry.channels,
                       ", frames, height, width]; found ", at::toString(latents.scalar_type()),
                       " [", absl::StrJoin(latents.sizes(), ", "), "]"));
    }
    settings.frames = 1 + (latents.size(2) - 1) * geometry.temporal_stride;
    settings.height = latents.size(3) * geometry.spatial_stride;
    settings.width = latents.size(4) * geometry.spatial_stride;
  }
  WANLITE_RETURN_IF_ERROR(
      CheckVideoSize(settings.frames, settings.height, settings.width,
                     SizeSteps{geometry.temporal_stride, geometry.spatial_stride, geometry.patch,
                               kMaxFrames, kMaxSide}));
  const int64_t latent_frames = 1 + (settings.frames - 1) / geometry.temporal_stride;
  const int64_t values = geometry.channels * latent_frames *
                         (settings.height / geometry.spatial_stride) *
                         (settings.width / geometry.spatial_stride);
  if (values > kMaxLatentValues) {
    return absl::InvalidArgumentError(absl::StrCat(settings.frames, " frames of ", settings.width,
                                                   "x", settings.height, " make ", values,
                                                   " latent values, more than ", kMaxLatentValues));
  }
  return settings;
}

nlohmann::ordered_json SettingsJson(const GenerateSettings& settings) {
  nlohmann::ordered_json json{{"steps", settings.steps},
                              {"frames", settings.frames},
                              {"height", settings.height},
                              {"width", settings.width},
                              {"guidance", settings.guidance},
                              {"guidance_2", settings.guidance_2},
                              {"shift", settings.shift},
                              {"sampler", std::string(SamplerName(settings.sampler))},
                              {"boundary_ratio", settings.boundary_ratio}};
  // Recordings of before these two were there keep their identity.
  if (settings.boundary_step) json["boundary_step"] = *settings.boundary_step;
  if (!settings.timesteps.empty()) json["timesteps"] = settings.timesteps;
  return json;
}

}  // namespace wanlite
