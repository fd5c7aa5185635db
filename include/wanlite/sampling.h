// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a model's own files say about sampling with it: steps, guidance, shift, and where the second
// expert takes over. `wanlite generate` runs by it where a request leaves something open, and
// passes that distil a model for other settings edit it.
#ifndef WANLITE_SAMPLING_H_
#define WANLITE_SAMPLING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/model_view.h"

namespace wanlite {

struct SamplingDefaults {
  int64_t steps = 50;
  double guidance = 5.0, guidance_2 = 5.0;  // of the first expert and of the second; 1: none
  double shift = 5.0;
  // The second expert takes over below this share of the timesteps; 0: the first does all.
  double boundary_ratio = 0;
  // In place of the ratio, in a run of `steps` steps: from this step on (counted from 0).
  std::optional<int64_t> boundary_step;
};

// Of the index boundary_ratio and the object "wanlite_defaults" with num_inference_steps,
// guidance_scale, guidance_scale_2 and boundary_step; of the scheduler's config flow_shift or
// shift. What neither says is as in diffusers' WanPipeline, and with no files at all as Wan2.2's
// (switch at 0.875, shift 5). InvalidArgument names file and field.
absl::StatusOr<SamplingDefaults> ReadSampling(const PipelineFiles& files);

// How a model with few steps is sampled.
struct FewSteps {
  int64_t steps = 0;
  bool stochastic = false;  // new noise after each step (LCM, DMD2); else Euler's method
  double shift = 5.0;
  std::vector<double> timesteps;         // before the shift; empty: evenly from 1000 down
  std::optional<int64_t> boundary_step;  // of a model with two experts
};

// The files with guidance 1 for both experts, and all else as it is. Where there is no index
// nothing is changed: nobody would read it.
absl::StatusOr<PipelineFiles> WithoutGuidance(const PipelineFiles& files);
// The files with these steps and without guidance. The scheduler becomes diffusers'
// FlowMatchEulerDiscreteScheduler, with "wanlite_sigma_grid" and "wanlite_timesteps" beside what
// diffusers reads; boundary_ratio is put where it switches as boundary_step does.
absl::StatusOr<PipelineFiles> WithFewSteps(const PipelineFiles& files, const FewSteps& few);

// Noise levels of these steps after the shift, and 0 behind them: [steps + 1].
std::vector<double> SigmasOf(const FewSteps& few);

}  // namespace wanlite

#endif  // WANLITE_SAMPLING_H_
