// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Models without their weights: for inspection, plans and counts, which look at shapes alone. A
// folder of configs is enough.
#ifndef WANLITE_SRC_RUNNER_HOLLOW_MODEL_H_
#define WANLITE_SRC_RUNNER_HOLLOW_MODEL_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/checkpoint.h"
#include "wanlite/runner.h"

namespace wanlite {

struct HollowModel {
  ModelView view;
  std::optional<ModelFolder> folder;  // absent when there are configs alone
  std::string model_index_json;       // empty when absent
  std::string scheduler_config_json;
};

// path: a model folder, a component's folder, a folder with configs and no weights (tensors then
// have the dtype that config.json names, else bf16, fp32 for a VAE), or a config.json. Errors of
// configs name the file; a folder that holds any weights is opened as a model folder, with its
// errors.
absl::StatusOr<HollowModel> OpenHollow(Env& env, absl::string_view path, const OpenOptions& options,
                                       const ArchitectureRegistry& architectures);

// Padded text length of the model's denoisers, 512 when none says.
int64_t TextLength(const ModelView& model);

// What the model's own files say about generation.
absl::StatusOr<GenerateSettings> DefaultSettings(const HollowModel& model);

}  // namespace wanlite

#endif  // WANLITE_SRC_RUNNER_HOLLOW_MODEL_H_
