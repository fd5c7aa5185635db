// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/sampler.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

absl::Status CheckOptions(const SampleOptions& options) {
  for (const double guidance :
       {options.guidance, options.guidance_low.value_or(options.guidance)}) {
    if (!std::isfinite(guidance)) {
      return absl::InvalidArgumentError(
          absl::StrCat("sampler: guidance is ", guidance, ", must be finite"));
    }
  }
  if (options.boundary_ratio.has_value() && options.boundary_step.has_value()) {
    return absl::InvalidArgumentError(
        "sampler: boundary_ratio and boundary_step are both set; the experts switch by one of "
        "them");
  }
  if (options.boundary_ratio.has_value() &&
      !(*options.boundary_ratio >= 0 && *options.boundary_ratio <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sampler: boundary_ratio is ", *options.boundary_ratio, ", must be 0 to 1"));
  }
  if (options.boundary_step.has_value() && *options.boundary_step < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("sampler: boundary_step is ", *options.boundary_step, ", must be 0 or more"));
  }
  return absl::OkStatus();
}

bool IsLowNoise(const SampleOptions& options, int64_t step, float timestep) {
  if (options.boundary_step.has_value()) return step >= *options.boundary_step;
  if (!options.boundary_ratio.has_value()) return false;
  const double boundary =
      *options.boundary_ratio * static_cast<double>(options.scheduler.num_train_timesteps);
  // In fp32, as the reference compares a tensor with a Python number.
  return timestep < static_cast<float>(boundary);
}

std::vector<SampleStep> StepsOf(const SampleOptions& options, const FlowScheduler& scheduler) {
  const bool guided = options.guidance > 1;
  const at::Tensor timesteps = scheduler.timesteps().to(at::kFloat);
  std::vector<SampleStep> steps;
  for (int64_t i = 0; i < scheduler.num_steps(); ++i) {
    SampleStep step;
    step.index = i;
    step.num_steps = scheduler.num_steps();
    const float timestep = timesteps.data_ptr<float>()[i];
    step.timestep = timestep;
    step.sigma = scheduler.sigmas()[i];
    step.expert = IsLowNoise(options, i, timestep) ? Expert::kLowNoise : Expert::kHighNoise;
    if (guided) {
      step.guidance = step.expert == Expert::kLowNoise
                          ? options.guidance_low.value_or(options.guidance)
                          : options.guidance;
    }
    steps.push_back(step);
  }
  return steps;
}

absl::Status CheckInputs(const std::vector<SampleStep>& steps, const Denoiser& high,
                         const Denoiser& low, const at::Tensor& latents, const at::Tensor& text,
                         const std::optional<at::Tensor>& negative) {
  for (const SampleStep& step : steps) {
    const bool is_low = step.expert == Expert::kLowNoise;
    if (!(is_low ? low : high)) {
      return absl::InvalidArgumentError(
          absl::StrCat("sampler: step ", step.index + 1, " of ", step.num_steps, " (timestep ",
                       step.timestep, ") needs the ",
                       is_low ? "low-noise expert transformer_2" : "high-noise expert transformer",
                       ", which the model does not have"));
    }
    if (step.guided() && !negative.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("sampler: guidance ", step.guidance,
                                                     " needs the embedding of a negative prompt"));
    }
  }
  if (!latents.defined() || latents.dim() != 5 || !latents.is_floating_point()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sampler: latents are ", latents.defined() ? ShapeText(latents.sizes()) : "missing",
        ", wanted floating [batch, channels, frames, height, width]"));
  }
  const auto check_text = [&](absl::string_view what, const at::Tensor& value) -> absl::Status {
    if (value.defined() && value.dim() == 3 && value.size(0) == latents.size(0) &&
        value.is_floating_point()) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "sampler: ", what, " is ", value.defined() ? ShapeText(value.sizes()) : "missing",
        ", wanted floating [", latents.size(0), ", tokens, text_dim]"));
  };
  WANLITE_RETURN_IF_ERROR(check_text("the text embedding", text));
  return negative.has_value() ? check_text("the negative text embedding", *negative)
                              : absl::OkStatus();
}

// The guided velocity of one step, fp32.
absl::StatusOr<at::Tensor> Velocity(const Denoiser& denoiser, const SampleStep& step,
                                    const at::Tensor& latents, const at::Tensor& timestep,
                                    const at::Tensor& text,
                                    const std::optional<at::Tensor>& negative) {
  WANLITE_ASSIGN_OR_RETURN(at::Tensor cond, denoiser(latents, timestep, text));
  cond = cond.to(at::kFloat);
  if (!step.guided()) return cond;
  WANLITE_ASSIGN_OR_RETURN(at::Tensor uncond, denoiser(latents, timestep, *negative));
  uncond = uncond.to(at::kFloat);
  return uncond + (cond - uncond) * step.guidance;
}

}  // namespace

absl::StatusOr<std::vector<SampleStep>> PlanSampling(const SampleOptions& options) {
  WANLITE_RETURN_IF_ERROR(CheckOptions(options));
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<FlowScheduler> scheduler,
                           MakeFlowScheduler(options.scheduler, options.num_steps, options.seed));
  return StepsOf(options, *scheduler);
}

absl::StatusOr<at::Tensor> Sample(const SampleOptions& options, const Denoiser& high,
                                  const Denoiser& low, const at::Tensor& latents,
                                  const at::Tensor& text, const std::optional<at::Tensor>& negative,
                                  const SampleCallback& callback) {
  WANLITE_RETURN_IF_ERROR(CheckOptions(options));
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<FlowScheduler> scheduler,
                           MakeFlowScheduler(options.scheduler, options.num_steps, options.seed));
  const std::vector<SampleStep> steps = StepsOf(options, *scheduler);
  WANLITE_RETURN_IF_ERROR(CheckInputs(steps, high, low, latents, text, negative));
  const at::NoGradGuard no_grad;
  at::Tensor x;
  for (const SampleStep& step : steps) {
    const absl::Status done = CatchTorch([&]() -> absl::Status {
      if (step.index == 0) x = latents.to(at::kFloat);
      const at::Tensor timestep =
          scheduler->timesteps()[step.index].expand({x.size(0)}).to(x.device());
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor velocity,
                               Velocity(step.expert == Expert::kLowNoise ? low : high, step, x,
                                        timestep, text, negative));
      x = scheduler->Step(velocity, x);
      return absl::OkStatus();
    });
    if (!done.ok()) {
      return Annotate(done, absl::StrCat("sampler step ", step.index + 1, " of ", step.num_steps));
    }
    if (callback && !callback(step, x)) {
      return absl::CancelledError(
          absl::StrCat("sampling stopped after step ", step.index + 1, " of ", step.num_steps));
    }
  }
  return x;
}

at::Tensor InitialLatents(at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(shape, generator, at::TensorOptions().dtype(at::kFloat));
}

}  // namespace wanlite::wan
