// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which files of a folder hold tensors, and which of them belong together.
#ifndef WANLITE_SRC_CHECKPOINT_WEIGHT_FILES_H_
#define WANLITE_SRC_CHECKPOINT_WEIGHT_FILES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/safetensors_reader.h"
#include "wanlite/env.h"

namespace wanlite {

// One file, or the shards of one set.
struct WeightFileGroup {
  std::string stem;                // "diffusion_pytorch_model", without shard number and ending
  std::vector<std::string> files;  // names in the folder, sorted
  std::string index_file;          // "….safetensors.index.json"; empty when there is none
  // From the index: which shard holds a tensor. Empty without one.
  std::map<std::string, std::string> weight_map;
};

// Names in a folder but for hidden ones (".DS_Store", "._NAME" of macOS, ".cache" of the hub),
// which are no part of a model.
absl::StatusOr<std::vector<std::string>> ListVisible(Env& env, const std::string& dir);
// True when a visible safetensors file lies in the folder.
bool HoldsWeights(Env& env, const std::string& dir);

struct WeightFiles {
  std::vector<WeightFileGroup> groups;  // sorted by stem
  std::vector<std::string> ggufs;       // .gguf files, which are not read either
  std::vector<std::string> pickles;     // .pth, .pt, .bin and .ckpt files, which are never read
};

// InvalidArgument for an index that cannot be read, names a file outside the folder or one that is
// not there, and for sets of shards with a number missing.
absl::StatusOr<WeightFiles> ListWeightFiles(Env& env, const std::string& dir);

// Opens the files of a group as one source under the names in the files. InvalidArgument when two
// files hold the same tensor or the index disagrees with them.
struct OpenedGroup {
  std::shared_ptr<const TensorSource> source;
  std::vector<std::shared_ptr<const SafetensorsFile>> files;  // in the order of group.files
};
absl::StatusOr<OpenedGroup> OpenWeightFiles(Env& env, const std::string& dir,
                                            const WeightFileGroup& group);

// Why these files were passed over and what to do; empty when there are none.
std::string UnreadAdvice(const WeightFiles& files);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_WEIGHT_FILES_H_
