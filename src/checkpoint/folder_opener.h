// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Finds out which layout a folder has and opens its components.
#ifndef WANLITE_SRC_CHECKPOINT_FOLDER_OPENER_H_
#define WANLITE_SRC_CHECKPOINT_FOLDER_OPENER_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/checkpoint/model_folder_rep.h"

namespace wanlite {

// Used once, by ModelFolder::Open.
class FolderOpener {
 public:
  FolderOpener(Env& env, std::string dir, const OpenOptions& options,
               const ArchitectureRegistry& architectures)
      : env_(env), dir_(std::move(dir)), options_(options), architectures_(architectures) {}

  // Fills everything of `rep` but bytes and fingerprint.
  absl::Status Open(ModelFolder::Rep* rep);

 private:
  absl::Status OpenWanlite(ModelFolder::Rep* rep);
  absl::Status OpenDiffusers(ModelFolder::Rep* rep);
  absl::Status OpenExperts(ModelFolder::Rep* rep);
  // The safetensors that lie in the folder itself. `beside_experts`: next to high_noise_model/.
  absl::Status OpenFlat(ModelFolder::Rep* rep, bool beside_experts);
  absl::Status OpenComponentFolder(const std::string& name, const std::string& dir,
                                   ModelFolder::Rep* rep);

  // The config a candidate should have: the one given by the caller when it fits, else its own.
  absl::StatusOr<const Architecture*> ChooseConfig(bool alone, ComponentCandidate* candidate);
  bool Wanted(const std::string& name) const;
  bool IsComponentFolder(const std::string& name);
  // The same, and there is something in it to open.
  bool HoldsComponent(const std::string& name);
  absl::Status CheckFound(const ModelFolder::Rep& rep);
  // Index and scheduler of a pipeline that lacks them.
  absl::Status AssumePipeline(ModelFolder::Rep* rep);
  absl::Status ListUnverified(ModelFolder::Rep* rep);

  // One file, or one set of shards, of the flat layout.
  struct LooseFile {
    ComponentCandidate candidate;
    const Architecture* of_names = nullptr;
    const Architecture* architecture = nullptr;
    std::string stem;
    bool has_sidecar = false;  // a config of its own
  };
  absl::Status ReadFlat(const WeightFileGroup& group, LooseFile* file);
  absl::Status ShareConfig(bool alone, std::vector<LooseFile>* files);

  Env& env_;
  const std::string dir_;
  const OpenOptions& options_;
  const ArchitectureRegistry& architectures_;
  std::optional<ConfigText> given_config_;
  bool given_config_used_ = false;
  std::vector<std::string> found_;  // components that are there, wanted or not
  WeightFiles unread_;              // its files of formats that are not read were met on the way
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_FOLDER_OPENER_H_
