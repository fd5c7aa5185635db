// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One LoRA file, and what files change in a model.
#ifndef WANLITE_SRC_LORA_LORA_FILE_H_
#define WANLITE_SRC_LORA_LORA_FILE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/safetensors_reader.h"
#include "wanlite/lora.h"

namespace wanlite {

// Opened, without regard to a model.
struct LoraFile {
  LoraSpec spec;  // with its adapter's name
  std::shared_ptr<const SafetensorsFile> file;
  // Alphas from the file's metadata or from PEFT's adapter_config.json: of layers by their names or
  // by what these end in, and of all others.
  std::map<std::string, double> alphas;
  std::optional<double> alpha;
  bool rank_stabilized = false;  // alpha / sqrt(rank) in place of alpha / rank (arXiv 2312.03732)
  std::string component;         // that its metadata names; may be empty

  // Errors as of LoraSet::Open().
  static absl::StatusOr<LoraFile> Open(Env& env, const LoraSpec& spec);
  // Of a layer of `rank`, as LoraBranch::alpha; the rank itself where nothing says.
  double AlphaOf(const std::string& layer, int64_t rank) const;
};

// Files against a model: LoraSet::Open() with the files open already.
absl::StatusOr<LoraSet> FitLoras(const std::vector<LoraFile>& files, const ModelView& model);

// The key of the metadata by which files written here say which component they are of.
inline constexpr char kLoraComponentKey[] = "wanlite_component";
// Where diffusers keeps the parameters of PEFT, as JSON.
inline constexpr char kLoraAdapterMetadataKey[] = "lora_adapter_metadata";

}  // namespace wanlite

#endif  // WANLITE_SRC_LORA_LORA_FILE_H_
