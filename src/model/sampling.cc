// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/sampling.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/json_fields.h"
#include "src/core/noise_levels.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kIndexFile[] = "model_index.json";
constexpr char kSchedulerFile[] = "scheduler_config.json";
constexpr char kDefaults[] = "wanlite_defaults";
constexpr double kPublishedBoundary = 0.875;  // Wan2.2-T2V-A14B
constexpr double kTrainTimesteps = 1000;

absl::StatusOr<nlohmann::ordered_json> ParseIndex(const std::string& text) {
  // Checked first: strictly, and with a message.
  WANLITE_RETURN_IF_ERROR(JsonFields::Parse(kIndexFile, text).status());
  return nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

void RemoveGuidance(nlohmann::ordered_json& index) {
  nlohmann::ordered_json& defaults = index[kDefaults];
  if (!defaults.is_object()) defaults = nlohmann::ordered_json::object();
  defaults["guidance_scale"] = 1.0;
  defaults["guidance_scale_2"] = 1.0;
}

std::string IndexText(const nlohmann::ordered_json& index) {
  return index.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::StatusOr<SamplingDefaults> ReadSampling(const PipelineFiles& files) {
  SamplingDefaults sampling;
  if (!files.scheduler_config.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const JsonFields scheduler,
                             JsonFields::Parse(kSchedulerFile, files.scheduler_config));
    sampling.shift = 1;
    WANLITE_RETURN_IF_ERROR(scheduler.Double({"flow_shift", "shift"}, sampling.shift));
  }
  if (files.model_index.empty()) {
    // Nothing says how the experts share the work.
    sampling.boundary_ratio = kPublishedBoundary;
    return sampling;
  }
  WANLITE_ASSIGN_OR_RETURN(const JsonFields index,
                           JsonFields::Parse(kIndexFile, files.model_index));
  WANLITE_RETURN_IF_ERROR(index.Double({"boundary_ratio"}, sampling.boundary_ratio));
  if (!(sampling.boundary_ratio >= 0 && sampling.boundary_ratio <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kIndexFile, ": boundary_ratio is ", sampling.boundary_ratio, ", it must lie in [0, 1]"));
  }
  WANLITE_ASSIGN_OR_RETURN(const JsonFields defaults, index.Object(kDefaults));
  WANLITE_RETURN_IF_ERROR(defaults.Int({"num_inference_steps"}, sampling.steps));
  WANLITE_RETURN_IF_ERROR(defaults.Double({"guidance_scale"}, sampling.guidance));
  sampling.guidance_2 = sampling.guidance;
  WANLITE_RETURN_IF_ERROR(defaults.Double({"guidance_scale_2"}, sampling.guidance_2));
  if (defaults.Has({"boundary_step"})) {
    int64_t step = 0;
    WANLITE_RETURN_IF_ERROR(defaults.Int({"boundary_step"}, step));
    if (step < 0 || step > sampling.steps) {
      return absl::InvalidArgumentError(
          absl::StrCat(kIndexFile, ": ", kDefaults, ".boundary_step is ", step,
                       ", it must lie in [0, num_inference_steps = ", sampling.steps, "]"));
    }
    sampling.boundary_step = step;
  }
  return sampling;
}

std::vector<double> SigmasOf(const FewSteps& few) {
  std::vector<double> sigmas = few.timesteps;
  for (double& sigma : sigmas) sigma /= kTrainTimesteps;
  if (sigmas.empty()) sigmas = EvenSigmas(few.steps);
  for (double& sigma : sigmas) sigma = ShiftSigma(sigma, few.shift);
  sigmas.push_back(0);
  return sigmas;
}

absl::StatusOr<PipelineFiles> WithoutGuidance(const PipelineFiles& files) {
  if (files.model_index.empty()) return files;
  WANLITE_ASSIGN_OR_RETURN(nlohmann::ordered_json index, ParseIndex(files.model_index));
  RemoveGuidance(index);
  return PipelineFiles{IndexText(index), files.scheduler_config};
}

absl::StatusOr<PipelineFiles> WithFewSteps(const PipelineFiles& files, const FewSteps& few) {
  if (files.model_index.empty()) return files;
  WANLITE_ASSIGN_OR_RETURN(nlohmann::ordered_json index, ParseIndex(files.model_index));
  RemoveGuidance(index);
  nlohmann::ordered_json& defaults = index[kDefaults];
  defaults["num_inference_steps"] = few.steps;
  defaults.erase("boundary_step");
  if (few.boundary_step.has_value()) {
    defaults["boundary_step"] = *few.boundary_step;
    // Half way between the timesteps around the switch; at the ends one expert does all.
    const std::vector<double> sigmas = SigmasOf(few);
    const auto last = static_cast<int64_t>(sigmas.size()) - 2;
    const int64_t step = *few.boundary_step;
    index["boundary_ratio"] = step == 0     ? 1.0
                              : step > last ? sigmas[last] / 2
                                            : (sigmas[step - 1] + sigmas[step]) / 2;
  }
  if (nlohmann::ordered_json& entry = index["scheduler"];
      entry.is_array() && entry.size() == 2 && entry[1].is_string()) {
    entry = {"diffusers", "FlowMatchEulerDiscreteScheduler"};
  } else if (entry.is_null()) {
    index.erase("scheduler");
  }
  nlohmann::ordered_json scheduler;
  scheduler["_class_name"] = "FlowMatchEulerDiscreteScheduler";
  scheduler["num_train_timesteps"] = static_cast<int64_t>(kTrainTimesteps);
  scheduler["shift"] = few.shift;
  if (few.stochastic) scheduler["stochastic_sampling"] = true;
  scheduler["use_dynamic_shifting"] = false;
  scheduler["wanlite_sigma_grid"] = "even";
  if (!few.timesteps.empty()) scheduler["wanlite_timesteps"] = few.timesteps;
  return PipelineFiles{IndexText(index), scheduler.dump(2) + "\n"};
}

}  // namespace wanlite
