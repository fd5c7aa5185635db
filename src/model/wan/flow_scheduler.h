// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Solvers of the flow-matching ODE dx/dsigma = v(x, sigma), from noise (sigma 1) to data (sigma 0),
// on the sigma grids of the two reference implementations.
#ifndef WANLITE_SRC_MODEL_WAN_FLOW_SCHEDULER_H_
#define WANLITE_SRC_MODEL_WAN_FLOW_SCHEDULER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite::wan {

enum class SolverKind {
  kUniPc,  // diffusers' UniPCMultistepScheduler
  kEuler,  // diffusers' FlowMatchEulerDiscreteScheduler
  kLcm,    // the same with stochastic_sampling: of models with few steps
};

// Where the sigmas before the shift lie.
enum class SigmaGrid {
  kDiffusers,  // as the scheduler class of diffusers spaces them, from 1 (less 1e-6 with UniPC)
  kOfficial,   // evenly from 1 - 1/num_train_timesteps down to, but without, 0 (Wan's own sampler)
  kEven,       // evenly from 1 down to, but without, 0: 1, 0.75, 0.5, 0.25 (few-step models)
};

struct FlowSchedulerConfig {
  SolverKind solver = SolverKind::kUniPc;
  SigmaGrid grid = SigmaGrid::kDiffusers;
  int64_t num_train_timesteps = 1000;
  // sigma' = shift sigma / (1 + (shift - 1) sigma): more than 1 spends more steps at high noise.
  double shift = 1.0;
  // Before the shift, descending, in place of the grid: a run of as many steps. {1000, 750, 500,
  // 250}, say, for sigmas of 1, 0.75, 0.5, 0.25 that are shifted then.
  std::vector<double> timesteps;

  // UniPC only.
  int64_t solver_order = 2;  // 1 to 3
  bool bh2 = true;           // B(h) = e^h - 1; else bh1, B(h) = h
  bool lower_order_final = true;
  bool final_sigma_zero = true;            // else the last sigma is repeated
  std::vector<int64_t> disable_corrector;  // steps whose prediction is not corrected afterwards
};

// Reads scheduler_config.json of a diffusers folder. InvalidArgument names a field of a wrong type
// or value; Unimplemented an option that is not built (Karras sigmas, epsilon prediction, ...). The
// grid is kDiffusers unless "wanlite_sigma_grid" says "official" or "even"; "wanlite_timesteps" are
// the explicit ones.
absl::StatusOr<FlowSchedulerConfig> ParseFlowSchedulerConfig(absl::string_view json);
// The same in the diffusers form.
std::string FlowSchedulerConfigJson(const FlowSchedulerConfig& config);

// One run of a solver: knows its sigmas, holds the history of a multistep method. Not thread-safe.
class FlowScheduler {
 public:
  virtual ~FlowScheduler() = default;

  // What the model is called with at each step: int64 (UniPC) or fp32 (Euler) [steps].
  const at::Tensor& timesteps() const { return timesteps_; }
  // Noise levels, one more than steps; the last is where the run ends.
  const std::vector<float>& sigmas() const { return sigmas_; }
  int64_t num_steps() const { return static_cast<int64_t>(sigmas_.size()) - 1; }
  int64_t step_index() const { return step_index_; }

  // Moves the sample one step along. velocity, sample: floating, of one shape; computed and
  // returned in fp32. Throws c10::Error when called more than num_steps() times.
  at::Tensor Step(const at::Tensor& velocity, const at::Tensor& sample);

 protected:
  FlowScheduler(std::vector<float> sigmas, at::Tensor timesteps);
  virtual at::Tensor StepFloat32(const at::Tensor& velocity, const at::Tensor& sample) = 0;

 private:
  std::vector<float> sigmas_;
  at::Tensor timesteps_;
  int64_t step_index_ = 0;
};

// A solver at the start of a run. seed: of the noise that kLcm adds. InvalidArgument for steps
// outside 1 to 10,000, for explicit timesteps of another number, or a config out of range.
absl::StatusOr<std::unique_ptr<FlowScheduler>> MakeFlowScheduler(const FlowSchedulerConfig& config,
                                                                 int64_t num_steps,
                                                                 uint64_t seed = 0);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_FLOW_SCHEDULER_H_
