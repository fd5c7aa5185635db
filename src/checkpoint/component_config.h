// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a written folder has beside tensors.
#ifndef WANLITE_SRC_CHECKPOINT_COMPONENT_CONFIG_H_
#define WANLITE_SRC_CHECKPOINT_COMPONENT_CONFIG_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/checkpoint.h"

namespace wanlite {

// The config.json of a component with the sizes its module has now, by the component's
// definition, else by the architecture that `source` knows. With neither it is config_json as it
// is, or, when the sizes have changed, FailedPrecondition.
absl::StatusOr<std::string> ConfigOf(const Component& component, const ModelFolder* source);

// "….safetensors.index.json" as diffusers and transformers read it. `file_of`: tensor -> file.
std::string WeightIndexJson(const std::map<std::string, std::string>& file_of, int64_t total_bytes);

// Copies the scheduler's config and the tokenizer's files of `source` into `out_dir`. Nothing to do
// for what the source does not have.
absl::Status WriteScheduler(Env& env, const std::string& config_json, const std::string& out_dir);
absl::Status CopyTokenizer(Env& env, const ModelFolder& source, const std::string& tokenizer_dir);

// Adds what lies in a checkpoint beside its components (index, scheduler, tokenizer) to its
// manifest.
absl::Status ListSettings(Env& env, const std::string& dir, Manifest* manifest);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_COMPONENT_CONFIG_H_
