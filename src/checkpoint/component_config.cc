// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/component_config.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/checkpoint/file_tools.h"
#include "src/checkpoint/model_folder_rep.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/checkpoint/weight_files.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {

absl::StatusOr<std::string> ConfigOf(const Component& component, const ModelFolder* source) {
  const Architecture* definition = component.definition.get();
  const OpenedComponent* opened = source == nullptr ? nullptr : source->rep().Find(component.name);
  if (definition == nullptr && opened != nullptr &&
      opened->architecture.name == component.architecture) {
    definition = &opened->architecture;
  }
  if (definition == nullptr || !definition->config_of) {
    if (!component.resized) return component.config_json;
    return absl::FailedPreconditionError(absl::StrCat(
        "component ", QuoteName(component.name), ": its sizes changed, and nothing says how ",
        "config.json tells them: set Component::definition to that of ", component.architecture,
        ", with a config_of"));
  }
  absl::StatusOr<std::string> config =
      CatchTorch([&] { return definition->config_of(component.config_json, *component.module); });
  if (!config.ok()) return Annotate(config.status(), absl::StrCat(component.name, ": config.json"));
  return config;
}

std::string WeightIndexJson(const std::map<std::string, std::string>& file_of,
                            int64_t total_bytes) {
  nlohmann::ordered_json json;
  json["metadata"]["total_size"] = total_bytes;
  json["weight_map"] = nlohmann::ordered_json::object();
  for (const auto& [tensor, file] : file_of) json["weight_map"][tensor] = file;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

absl::Status WriteScheduler(Env& env, const std::string& config_json, const std::string& out_dir) {
  if (config_json.empty()) return absl::OkStatus();
  const std::string path = JoinPath(out_dir, kSchedulerConfig);
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(Dirname(path)));
  return env.WriteFileAtomically(path, config_json);
}

absl::Status CopyTokenizer(Env& env, const ModelFolder& source, const std::string& tokenizer_dir) {
  const std::string& from = source.tokenizer_dir();
  if (from.empty()) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(tokenizer_dir));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListVisible(env, from));
  for (const std::string& name : names) {
    // A tokenizer that lies among the weights is told from them by its names.
    const bool tokenizer_file = absl::StartsWith(name, "tokenizer") || name == "spiece.model" ||
                                name == "special_tokens_map.json" || name == "added_tokens.json";
    if (!env.FileExists(JoinPath(from, name)) || absl::EndsWith(name, ".tmp") ||
        (from == source.dir() && !tokenizer_file)) {
      continue;
    }
    WANLITE_RETURN_IF_ERROR(CopyFile(env, JoinPath(from, name), JoinPath(tokenizer_dir, name)));
  }
  return absl::OkStatus();
}

absl::Status ListSettings(Env& env, const std::string& dir, Manifest* manifest) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFilesBelow(env, dir));
  for (const std::string& file : files) {
    if (file != kModelIndexFile && !absl::StartsWith(file, "scheduler/") &&
        !absl::StartsWith(file, "tokenizer/")) {
      continue;
    }
    FileEntry* entry = manifest->add_files();
    entry->set_path(file);
    WANLITE_ASSIGN_OR_RETURN(const uint64_t bytes, env.FileSize(JoinPath(dir, file)));
    entry->set_bytes(static_cast<int64_t>(bytes));
    WANLITE_ASSIGN_OR_RETURN(*entry->mutable_sha256(), HashFile(env, JoinPath(dir, file)));
  }
  return absl::OkStatus();
}

}  // namespace wanlite
