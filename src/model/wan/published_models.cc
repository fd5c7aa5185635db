// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/published_models.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/model/wan/flow_scheduler.h"

namespace wanlite::wan {
namespace {

struct PublishedModel {
  const char* name;
  int experts;
  int64_t dim, in_channels, out_channels;
  double boundary, shift, guidance, guidance_2;
  int64_t steps, frames;
  double fps;
};

// Wan2.2: wan/configs/wan_{t2v_A14B,i2v_A14B,ti2v_5B}.py; Wan2.1: wan/configs and generate.py.
constexpr PublishedModel kPublished[] = {
    {"Wan2.2-T2V-A14B", 2, 5120, 16, 16, 0.875, 12, 4, 3, 40, 81, 16},
    {"Wan2.2-I2V-A14B", 2, 5120, 36, 16, 0.9, 5, 3.5, 3.5, 40, 81, 16},
    {"Wan2.2-TI2V-5B", 1, 3072, 48, 48, 0, 5, 5, 5, 50, 121, 24},
    {"Wan2.1-T2V-14B", 1, 5120, 16, 16, 0, 5, 5, 5, 50, 81, 16},
    {"Wan2.1-T2V-1.3B", 1, 1536, 16, 16, 0, 5, 5, 5, 50, 81, 16},
};
constexpr double kUnknownBoundary = 0.875;
constexpr double kUnknownShift = 5;

}  // namespace

PipelineDefaults PublishedDefaults(const DitConfig& config, int experts) {
  const PublishedModel* model = nullptr;
  for (const PublishedModel& one : kPublished) {
    if (one.experts == experts && one.dim == config.inner_dim() &&
        one.in_channels == config.in_channels && one.out_channels == config.out_channels) {
      model = &one;
    }
  }
  nlohmann::ordered_json index;
  index["_class_name"] = "WanPipeline";
  const double boundary = model != nullptr ? model->boundary : kUnknownBoundary;
  if (experts > 1) index["boundary_ratio"] = boundary;
  FlowSchedulerConfig scheduler;
  scheduler.shift = model != nullptr ? model->shift : kUnknownShift;
  const std::string switched =
      experts > 1 ? absl::StrCat(", experts switched at ", boundary) : std::string();
  PipelineDefaults defaults;
  if (model != nullptr) {
    nlohmann::ordered_json& own = index["wanlite_defaults"];
    own["num_inference_steps"] = model->steps;
    own["guidance_scale"] = model->guidance;
    own["guidance_scale_2"] = model->guidance_2;
    own["num_frames"] = model->frames;
    own["fps"] = model->fps;
    defaults.note =
        absl::StrCat("it runs as ", model->name, " is published: ", model->steps, " steps, shift ",
                     model->shift, ", guidance ", model->guidance,
                     experts > 1 ? absl::StrCat(" and ", model->guidance_2) : "", switched);
  } else {
    defaults.note = absl::StrCat("no published model has its size, so it runs with shift ",
                                 scheduler.shift, switched);
  }
  defaults.model_index_json = index.dump(2) + "\n";
  defaults.scheduler_config_json = FlowSchedulerConfigJson(scheduler);
  return defaults;
}

}  // namespace wanlite::wan
