// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The denoising loop: from noise to a clean latent, with two experts and classifier-free guidance.
#ifndef WANLITE_SRC_MODEL_WAN_SAMPLER_H_
#define WANLITE_SRC_MODEL_WAN_SAMPLER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "src/model/wan/flow_scheduler.h"

namespace wanlite::wan {

// One forward pass of an expert: latents fp32 [batch, channels, frames, height, width], timestep
// [batch] (int64 or fp32), text [batch, tokens, text_dim] -> velocity of the latents' shape (but
// out_channels). May throw c10::Error. See Dit::forward.
using Denoiser = std::function<absl::StatusOr<at::Tensor>(
    const at::Tensor& latents, const at::Tensor& timestep, const at::Tensor& text)>;

// Which network a step belongs to.
enum class Expert {
  kHighNoise,  // `transformer`, and the only one of a model without experts
  kLowNoise,   // `transformer_2`
};

struct SampleOptions {
  FlowSchedulerConfig scheduler;
  int64_t num_steps = 40;
  uint64_t seed = 0;  // of the noise that SolverKind::kLcm adds between its steps
  // Velocity = uncond + guidance (cond - uncond). As in diffusers, `guidance` (of the high-noise
  // expert) decides for the whole run: 1 or less means no guidance and no negative prompt.
  double guidance = 4.0;
  std::optional<double> guidance_low;  // of the low-noise expert; absent means `guidance`
  // The low-noise expert takes over when timestep < boundary_ratio * num_train_timesteps, or from
  // step `boundary_step` on (counted from 0; few-step models). At most one of the two; neither
  // means one expert for all steps.
  std::optional<double> boundary_ratio;
  std::optional<int64_t> boundary_step;
};

struct SampleStep {
  int64_t index = 0;  // from 0
  int64_t num_steps = 0;
  double timestep = 0;
  double sigma = 0;  // noise level before the step
  Expert expert = Expert::kHighNoise;
  double guidance = 1;  // in force at this step; 1 when there is none
  // Whether the network runs on the negative prompt too: two forwards instead of one.
  bool guided() const { return guidance != 1; }
};

// Called after every step with the latents it left (fp32). Returning false cancels the run.
using SampleCallback = std::function<bool(const SampleStep& step, const at::Tensor& latents)>;

// The experts of a run as planned: one entry per step. InvalidArgument when the options contradict
// each other or are out of range.
absl::StatusOr<std::vector<SampleStep>> PlanSampling(const SampleOptions& options);

// Runs the loop without gradients and returns fp32 latents.
//   high, low   the experts; one may be empty when no step needs it
//   latents     floating [batch, channels, frames, height, width], noise of variance 1
//   text        [batch, tokens, text_dim]
//   negative    like text; needed when a step is guided, else ignored
// InvalidArgument when an expert or the negative embedding is missing or shapes do not fit;
// Cancelled when the callback returned false; errors of the denoisers with the step in front.
absl::StatusOr<at::Tensor> Sample(const SampleOptions& options, const Denoiser& high,
                                  const Denoiser& low, const at::Tensor& latents,
                                  const at::Tensor& text, const std::optional<at::Tensor>& negative,
                                  const SampleCallback& callback = nullptr);

// Standard normal fp32 noise on the CPU; the values torch.randn gives for torch.Generator("cpu")
// with this seed.
at::Tensor InitialLatents(at::IntArrayRef shape, uint64_t seed);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_SAMPLER_H_
