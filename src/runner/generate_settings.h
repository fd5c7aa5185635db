// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// From a request and a folder's own defaults to settings with nothing left open.
#ifndef WANLITE_SRC_RUNNER_GENERATE_SETTINGS_H_
#define WANLITE_SRC_RUNNER_GENERATE_SETTINGS_H_

#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "src/model/wan/flow_scheduler.h"
#include "wanlite/runner.h"

namespace wanlite {

// What of a model's shape decides about sizes.
struct LatentGeometry {
  int64_t channels = 16;
  int64_t temporal_stride = 4;  // frames per latent frame
  int64_t spatial_stride = 8;   // pixels per latent value
  std::array<int64_t, 3> patch{1, 2, 2};
  bool two_experts = false;
};

// The folder's defaults. Both texts may be empty. InvalidArgument names the file and the field.
struct FolderDefaults {
  GenerateSettings settings;
  wan::FlowSchedulerConfig scheduler;
};
absl::StatusOr<FolderDefaults> ParseFolderDefaults(const std::string& model_index_json,
                                                   const std::string& scheduler_config_json,
                                                   bool two_experts);

// InvalidArgument for values out of range and sizes that do not fit the geometry.
absl::StatusOr<GenerateSettings> ResolveSettings(const GenerateRequest& request,
                                                 const GenerateSettings& defaults,
                                                 const LatentGeometry& geometry);

// What is set by number or name, in the order of GenerateSettings; not the texts and not the rate.
nlohmann::ordered_json SettingsJson(const GenerateSettings& settings);

}  // namespace wanlite

#endif  // WANLITE_SRC_RUNNER_GENERATE_SETTINGS_H_
