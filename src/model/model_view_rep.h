// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a ModelView holds; shared by topology_index.cc (what the model says of itself), structure.cc
// (edits) and leases.cc (values).
#ifndef WANLITE_SRC_MODEL_MODEL_VIEW_REP_H_
#define WANLITE_SRC_MODEL_MODEL_VIEW_REP_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "wanlite/model_view.h"
#include "wanlite/nn.h"

namespace wanlite {

// The declarations of the components' modules under full paths, and what is found by them. Modules
// keep their place, their tensors are exchanged; it is built anew when modules are.
struct TopologyIndex {
  std::vector<std::string> component_names;
  std::vector<BlockInfo> blocks;
  std::vector<LinearInfo> linears;
  std::vector<AxisGroup> groups;
  std::vector<AttentionInfo> attentions;
  std::vector<ElementwiseInfo> elementwise;
  std::vector<LinearInfo> embeddings;
  std::set<std::string, std::less<>> float32_paths;
  struct ModuleEntry {
    const torch::nn::Module* module;
    std::string path;
  };
  std::vector<ModuleEntry> modules;  // in the order of the tree
  std::map<std::string, size_t, std::less<>> module_index;
  // Modules that tensors of a block are registered in, by block.
  std::map<std::string, std::vector<size_t>, std::less<>> block_modules;
  std::map<std::string, size_t, std::less<>> group_index;
  std::map<std::string, nn::Linear*, std::less<>> linear_modules;  // embeddings among them
  std::map<std::string, size_t, std::less<>> linear_index;
  std::map<std::string, size_t, std::less<>> block_index;

  // InvalidArgument for declarations that contradict the modules or each other.
  static absl::StatusOr<TopologyIndex> Build(const std::vector<Component>& components);

  // Index of the component that a full path belongs to.
  size_t ComponentOf(absl::string_view path) const;
  const std::string& BlockOf(absl::string_view path) const;
  std::vector<NamedTensor> Tensors() const;
  std::vector<NamedTensor> BlockTensors(absl::string_view block) const;
  absl::StatusOr<at::Tensor> FindTensor(absl::string_view path) const;

 private:
  absl::Status Describe(const Component& component);
  absl::Status SetOrigins(const Component& component, size_t first_block);
  absl::Status Finish();
  // Of attentions and element-wise operations.
  absl::Status CheckWork(const std::set<std::string>& tensors);
};

struct ModelView::Rep {
  std::vector<Component> components;
  PipelineFiles pipeline;
  TopologyIndex index;
  // Where the values of hollow tensors come from: a block's own source, else the common one.
  std::shared_ptr<const TensorSource> source;
  std::map<std::string, std::shared_ptr<const TensorSource>, std::less<>> block_sources;
  bool streaming = false;
  // Where LoadAll() read from, until PackWeights() has let it go.
  std::shared_ptr<const TensorSource> loaded_from;
  std::set<std::string, std::less<>> leased;

  const TensorSource& SourceOf(absl::string_view block) const;
  std::shared_ptr<const TensorSource> SharedSourceOf(absl::string_view block) const;
  // Whether the source has the block's tensors as the block has them now.
  absl::Status CheckSource(const TensorSource& from, absl::string_view block) const;
  // A component with its structure edited, and where its blocks' values come from. Nothing of the
  // view has changed yet.
  struct Rebuilt {
    size_t component = 0;
    Component now;
    std::map<std::string, std::shared_ptr<const TensorSource>> sources;  // by block
    // Linears whose weights go over as they are: from the old module into the new one.
    std::vector<std::pair<nn::Linear*, nn::Linear*>> moves;
  };
  absl::StatusOr<Rebuilt> PrepareRebuild(absl::string_view component, const StructureEdit& edit,
                                         const std::vector<DerivedTensor>& tensors) const;
  absl::Status Commit(std::vector<Rebuilt> rebuilt);
  // Reads everything before anything changes.
  absl::Status Fill(const std::vector<std::string>& blocks);
  void Release(const std::string& block);
};

// What a group was called inside its component before blocks were dropped: its name in
// Component::unit_origin.
std::string OriginalGroupName(const TopologyIndex& index, const Component& component,
                              const AxisGroup& group);
// The weight in its format without its values.
absl::StatusOr<std::shared_ptr<const LinearWeight>> HollowCopy(const std::string& path,
                                                               const LinearWeight& weight);
// "prefix.path"; either may be empty.
std::string JoinTensorPath(absl::string_view prefix, absl::string_view path);
// The path of the module that a tensor of this path is registered in.
absl::string_view ParentPath(absl::string_view path);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_MODEL_VIEW_REP_H_
