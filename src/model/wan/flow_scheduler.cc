// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/flow_scheduler.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/model/wan/euler.h"
#include "src/model/wan/lcm.h"
#include "src/model/wan/unipc.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

constexpr absl::string_view kSchedulerWhat = "scheduler config";
constexpr absl::string_view kUniPcClass = "UniPCMultistepScheduler";
constexpr absl::string_view kEulerClass = "FlowMatchEulerDiscreteScheduler";
constexpr int64_t kMaxSteps = 10000;

absl::Status UnimplementedOption(absl::string_view field, absl::string_view found,
                                 absl::string_view wanted) {
  return absl::UnimplementedError(
      absl::StrCat(kSchedulerWhat, ": ", field, " is ", found, "; only ", wanted, " is built"));
}

// Switches of diffusers that must have one value.
absl::Status RequireFlag(const JsonFields& json, const char* field, bool assumed, bool wanted) {
  bool value = assumed;
  WANLITE_RETURN_IF_ERROR(json.Bool({field}, value));
  if (value == wanted) return absl::OkStatus();
  return UnimplementedOption(field, value ? "true" : "false", wanted ? "true" : "false");
}

// Both classes know these; all off.
absl::Status RejectSharedOptions(const JsonFields& json) {
  for (const char* field :
       {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_dynamic_shifting"}) {
    WANLITE_RETURN_IF_ERROR(RequireFlag(json, field, false, false));
  }
  double terminal = 0;
  WANLITE_RETURN_IF_ERROR(json.Double({"shift_terminal"}, terminal));
  if (terminal != 0) return UnimplementedOption("shift_terminal", absl::StrCat(terminal), "null");
  return absl::OkStatus();
}

absl::Status ParseUniPc(const JsonFields& json, FlowSchedulerConfig& config) {
  std::string prediction = "epsilon";  // what diffusers assumes
  WANLITE_RETURN_IF_ERROR(json.String({"prediction_type"}, prediction));
  if (prediction != "flow_prediction") {
    return UnimplementedOption("prediction_type", prediction, "flow_prediction");
  }
  WANLITE_RETURN_IF_ERROR(RequireFlag(json, "use_flow_sigmas", false, true));
  WANLITE_RETURN_IF_ERROR(RequireFlag(json, "predict_x0", true, true));
  WANLITE_RETURN_IF_ERROR(RequireFlag(json, "thresholding", false, false));
  if (json.Has({"solver_p"})) return UnimplementedOption("solver_p", "another scheduler", "null");
  WANLITE_RETURN_IF_ERROR(json.Double({"flow_shift"}, config.shift));
  WANLITE_RETURN_IF_ERROR(json.Int({"solver_order"}, config.solver_order));
  WANLITE_RETURN_IF_ERROR(json.Bool({"lower_order_final"}, config.lower_order_final));
  WANLITE_RETURN_IF_ERROR(json.Ints({"disable_corrector"}, config.disable_corrector));
  std::string solver_type = "bh2";
  WANLITE_RETURN_IF_ERROR(json.String({"solver_type"}, solver_type));
  // Names of other schedulers' methods, which diffusers reads as bh2.
  const bool foreign =
      solver_type == "midpoint" || solver_type == "heun" || solver_type == "logrho";
  if (!foreign && solver_type != "bh1" && solver_type != "bh2") {
    return UnimplementedOption("solver_type", solver_type, "bh1 or bh2");
  }
  config.bh2 = solver_type != "bh1";
  std::string final_sigmas = "zero";
  WANLITE_RETURN_IF_ERROR(json.String({"final_sigmas_type"}, final_sigmas));
  if (final_sigmas != "zero" && final_sigmas != "sigma_min") {
    return UnimplementedOption("final_sigmas_type", final_sigmas, "zero or sigma_min");
  }
  config.final_sigma_zero = final_sigmas == "zero";
  return absl::OkStatus();
}

absl::Status ParseEuler(const JsonFields& json, FlowSchedulerConfig& config) {
  WANLITE_RETURN_IF_ERROR(RequireFlag(json, "invert_sigmas", false, false));
  bool stochastic = false;
  WANLITE_RETURN_IF_ERROR(json.Bool({"stochastic_sampling"}, stochastic));
  if (stochastic) config.solver = SolverKind::kLcm;
  return json.Double({"shift"}, config.shift);
}

absl::Status Validate(const FlowSchedulerConfig& config) {
  const auto wrong = [](absl::string_view field, const auto& found, absl::string_view wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat(kSchedulerWhat, ": ", field, " is ", found, ", must be ", wanted));
  };
  if (config.num_train_timesteps < 2 || config.num_train_timesteps > 1000000) {
    return wrong("num_train_timesteps", config.num_train_timesteps, "2 to 1000000");
  }
  if (!std::isfinite(config.shift) || config.shift <= 0) {
    return wrong("the shift", config.shift, "positive and finite");
  }
  double before = std::numeric_limits<double>::infinity();
  for (const double timestep : config.timesteps) {
    if (!(timestep > 0 && timestep <= static_cast<double>(config.num_train_timesteps) &&
          timestep < before)) {
      return wrong(
          "a timestep", timestep,
          absl::StrCat("in (0, ", config.num_train_timesteps, "] and less than the one before it"));
    }
    before = timestep;
  }
  if (config.solver != SolverKind::kUniPc) return absl::OkStatus();
  if (config.solver_order < 1 || config.solver_order > 3) {
    return UnimplementedOption("solver_order", absl::StrCat(config.solver_order), "1 to 3");
  }
  if (!config.lower_order_final && config.final_sigma_zero && config.solver_order > 1) {
    return wrong("lower_order_final", "false with final_sigmas_type zero",
                 "true, for a step of a higher order to sigma 0 is infinite");
  }
  return absl::OkStatus();
}

// n values evenly from start to stop, both included, rounded as numpy.linspace rounds.
std::vector<double> Linspace(double start, double stop, int64_t n) {
  std::vector<double> values(static_cast<size_t>(n));
  const double step = n > 1 ? (stop - start) / static_cast<double>(n - 1) : 0.0;
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<double>(i) * step + start;
  if (n > 1) values.back() = stop;
  return values;
}

// Sigmas before the shift, without the final one.
std::vector<double> BaseSigmas(const FlowSchedulerConfig& config, int64_t steps) {
  const double train = static_cast<double>(config.num_train_timesteps);
  if (!config.timesteps.empty()) {
    std::vector<double> sigmas = config.timesteps;
    for (double& sigma : sigmas) sigma /= train;
    return sigmas;
  }
  if (config.grid == SigmaGrid::kEven) return EvenSigmas(steps);
  if (config.grid == SigmaGrid::kOfficial) {
    // The reference keeps its largest sigma in fp32.
    std::vector<double> sigmas = Linspace(static_cast<float>(1.0 - 1.0 / train), 0.0, steps + 1);
    sigmas.pop_back();
    return sigmas;
  }
  if (config.solver == SolverKind::kUniPc) {
    std::vector<double> sigmas = Linspace(1.0, 1.0 / train, steps + 1);
    sigmas.pop_back();
    return sigmas;
  }
  // diffusers' Euler scheduler spaces its sigmas between the shifted ends, in fp32, of the training
  // grid, and shifts them once more.
  const float shift = static_cast<float>(config.shift);
  const float shift_less_one = static_cast<float>(config.shift - 1);
  const auto shifted = [&](float sigma) { return shift * sigma / (1 + shift_less_one * sigma); };
  const double largest = shifted(1.0f);
  const double smallest = shifted(1.0f / static_cast<float>(config.num_train_timesteps));
  std::vector<double> sigmas = Linspace(largest * train, smallest * train, steps);
  for (double& sigma : sigmas) sigma /= train;
  return sigmas;
}

}  // namespace

absl::StatusOr<FlowSchedulerConfig> ParseFlowSchedulerConfig(absl::string_view text) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields json, JsonFields::Parse(kSchedulerWhat, text));
  std::string class_name;
  WANLITE_RETURN_IF_ERROR(json.String({"_class_name"}, class_name));
  FlowSchedulerConfig config;
  if (class_name == kEulerClass) {
    config.solver = SolverKind::kEuler;
  } else if (class_name != kUniPcClass) {
    return UnimplementedOption("_class_name", class_name.empty() ? "missing" : class_name,
                               absl::StrCat(kUniPcClass, " or ", kEulerClass));
  }
  WANLITE_RETURN_IF_ERROR(RejectSharedOptions(json));
  WANLITE_RETURN_IF_ERROR(json.Int({"num_train_timesteps"}, config.num_train_timesteps));
  WANLITE_RETURN_IF_ERROR(config.solver == SolverKind::kUniPc ? ParseUniPc(json, config)
                                                              : ParseEuler(json, config));
  std::string grid = "diffusers";
  WANLITE_RETURN_IF_ERROR(json.String({"wanlite_sigma_grid"}, grid));
  if (grid != "diffusers" && grid != "official" && grid != "even") {
    return absl::InvalidArgumentError(absl::StrCat(kSchedulerWhat, ": wanlite_sigma_grid is ", grid,
                                                   ", must be diffusers, official or even"));
  }
  config.grid = grid == "official" ? SigmaGrid::kOfficial
                : grid == "even"   ? SigmaGrid::kEven
                                   : SigmaGrid::kDiffusers;
  WANLITE_RETURN_IF_ERROR(json.Doubles({"wanlite_timesteps"}, config.timesteps));
  WANLITE_RETURN_IF_ERROR(Validate(config));
  return config;
}

std::string FlowSchedulerConfigJson(const FlowSchedulerConfig& config) {
  nlohmann::ordered_json json;
  if (config.solver != SolverKind::kUniPc) {
    json["_class_name"] = std::string(kEulerClass);
    json["num_train_timesteps"] = config.num_train_timesteps;
    json["shift"] = config.shift;
    if (config.solver == SolverKind::kLcm) json["stochastic_sampling"] = true;
    json["use_dynamic_shifting"] = false;
  } else {
    json["_class_name"] = std::string(kUniPcClass);
    json["disable_corrector"] = config.disable_corrector;
    json["final_sigmas_type"] = config.final_sigma_zero ? "zero" : "sigma_min";
    json["flow_shift"] = config.shift;
    json["lower_order_final"] = config.lower_order_final;
    json["num_train_timesteps"] = config.num_train_timesteps;
    json["predict_x0"] = true;
    json["prediction_type"] = "flow_prediction";
    json["solver_order"] = config.solver_order;
    json["solver_type"] = config.bh2 ? "bh2" : "bh1";
    json["use_flow_sigmas"] = true;
  }
  if (config.grid == SigmaGrid::kOfficial) json["wanlite_sigma_grid"] = "official";
  if (config.grid == SigmaGrid::kEven) json["wanlite_sigma_grid"] = "even";
  if (!config.timesteps.empty()) json["wanlite_timesteps"] = config.timesteps;
  return json.dump(2) + "\n";
}

FlowScheduler::FlowScheduler(std::vector<float> sigmas, at::Tensor timesteps)
    : sigmas_(std::move(sigmas)), timesteps_(std::move(timesteps)) {}

at::Tensor FlowScheduler::Step(const at::Tensor& velocity, const at::Tensor& sample) {
  TORCH_CHECK(step_index_ < num_steps(), "scheduler: step ", step_index_ + 1, " of a run of ",
              num_steps());
  TORCH_CHECK(velocity.sizes() == sample.sizes(), "scheduler: velocity is ", velocity.sizes(),
              ", the sample is ", sample.sizes());
  at::Tensor next = StepFloat32(velocity.to(at::kFloat), sample.to(at::kFloat));
  ++step_index_;
  return next;
}

absl::StatusOr<std::unique_ptr<FlowScheduler>> MakeFlowScheduler(const FlowSchedulerConfig& config,
                                                                 int64_t num_steps, uint64_t seed) {
  WANLITE_RETURN_IF_ERROR(Validate(config));
  if (num_steps < 1 || num_steps > kMaxSteps) {
    return absl::InvalidArgumentError(
        absl::StrCat("scheduler: ", num_steps, " steps, must be 1 to ", kMaxSteps));
  }
  if (!config.timesteps.empty() && static_cast<int64_t>(config.timesteps.size()) != num_steps) {
    return absl::InvalidArgumentError(absl::StrCat(
        "scheduler: ", num_steps, " steps, but ", config.timesteps.size(), " timesteps are given"));
  }
  std::vector<double> sigmas = BaseSigmas(config, num_steps);
  for (double& sigma : sigmas) sigma = ShiftSigma(sigma, config.shift);
  const bool unipc = config.solver == SolverKind::kUniPc;
  // UniPC takes log(1 - sigma).
  constexpr double kMargin = 1e-6;
  if (unipc && std::fabs(sigmas.front() - 1) < kMargin) sigmas.front() -= kMargin;

  std::vector<float> stored(sigmas.begin(), sigmas.end());
  const int64_t n = num_steps;
  const double train = static_cast<double>(config.num_train_timesteps);
  if (!unipc) {
    at::Tensor timesteps = at::tensor(stored, at::kFloat) * train;
    stored.push_back(0.0f);
    if (config.solver == SolverKind::kLcm) {
      return std::make_unique<LcmScheduler>(std::move(stored), std::move(timesteps), seed);
    }
    return std::make_unique<EulerScheduler>(std::move(stored), std::move(timesteps));
  }
  at::Tensor timesteps = at::empty({n}, at::kLong);
  for (int64_t i = 0; i < n; ++i) timesteps[i] = static_cast<int64_t>(sigmas[i] * train);
  stored.push_back(config.final_sigma_zero ? 0.0f : stored.back());
  return std::make_unique<UniPcScheduler>(config, std::move(stored), std::move(timesteps));
}

}  // namespace wanlite::wan
