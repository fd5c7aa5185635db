// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What an opened model folder knows; shared by the reader of folders and by the exporters.
#ifndef WANLITE_SRC_CHECKPOINT_MODEL_FOLDER_REP_H_
#define WANLITE_SRC_CHECKPOINT_MODEL_FOLDER_REP_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/checkpoint/component_loader.h"
#include "src/proto/manifest.pb.h"
#include "wanlite/checkpoint.h"

namespace wanlite {

struct ModelFolder::Rep {
  Env* env = nullptr;
  FolderLayout layout = FolderLayout::kDiffusers;
  std::string dir;
  std::string config_path;  // OpenOptions::config_path
  ArchitectureRegistry architectures;
  std::vector<OpenedComponent> components;
  std::string model_index_json;
  std::string scheduler_config_json;
  std::string tokenizer_dir;
  std::shared_ptr<const Manifest> manifest;
  std::vector<std::string> notes;
  std::map<std::string, absl::Status> left_out;  // component folders that were passed over, and why
  FolderVerification verification;
  int64_t bytes = 0;
  std::string fingerprint;

  // nullptr when absent.
  const OpenedComponent* Find(absl::string_view name) const;
};

// Whether a folder holds the files of a tokenizer.
bool IsTokenizerFolder(Env& env, const std::string& dir);

// Files below `dir`, hidden ones aside, as paths relative to it, sorted.
absl::StatusOr<std::vector<std::string>> ListFilesBelow(Env& env, const std::string& dir);

inline constexpr char kModelIndexFile[] = "model_index.json";
inline constexpr char kConfigFile[] = "config.json";
inline constexpr char kSchedulerConfig[] = "scheduler/scheduler_config.json";
inline constexpr char kHighNoiseFolder[] = "high_noise_model";
inline constexpr char kLowNoiseFolder[] = "low_noise_model";

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_MODEL_FOLDER_REP_H_
