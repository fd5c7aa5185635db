// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/model/dump.h"
#include "src/model/model_view_rep.h"
#include "src/model/rest_block.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// True when `path` is `prefix` or lies below it.
bool IsUnder(absl::string_view path, absl::string_view prefix) {
  return prefix.empty() || path == prefix ||
         (absl::ConsumePrefix(&path, prefix) && !path.empty() && path.front() == '.');
}

// Parameters and buffers of one module, without its children's.
std::vector<NamedTensor> OwnTensors(const torch::nn::Module& module, absl::string_view path) {
  std::vector<NamedTensor> out;
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    out.push_back({JoinTensorPath(path, item.key()), item.value()});
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    out.push_back({JoinTensorPath(path, item.key()), item.value()});
  }
  return out;
}

absl::Status CheckRef(const AxisGroup& group, const AxisRef& ref) {
  if (ref.dim >= 0 && ref.repeat >= 1 && ref.outer >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("axis group ", group.name, " names ", ref.tensor,
                                                 " with dim ", ref.dim, ", repeat ", ref.repeat,
                                                 " and outer ", ref.outer));
}

}  // namespace

std::string JoinTensorPath(absl::string_view prefix, absl::string_view path) {
  if (prefix.empty()) return std::string(path);
  if (path.empty()) return std::string(prefix);
  return absl::StrCat(prefix, ".", path);
}

absl::string_view ParentPath(absl::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == absl::string_view::npos ? absl::string_view() : path.substr(0, dot);
}

absl::string_view ComponentRoleName(ComponentRole role) {
  switch (role) {
    case ComponentRole::kDenoiser:
      return "denoiser";
    case ComponentRole::kTextEncoder:
      return "text_encoder";
    case ComponentRole::kAutoencoder:
      return "autoencoder";
    case ComponentRole::kOther:
      return "other";
  }
  return "other";
}

absl::StatusOr<TopologyIndex> TopologyIndex::Build(const std::vector<Component>& components) {
  TopologyIndex index;
  for (const Component& component : components) index.component_names.push_back(component.name);
  for (const Component& component : components) {
    WANLITE_RETURN_IF_ERROR(index.Describe(component));
  }
  WANLITE_RETURN_IF_ERROR(index.Finish());
  return index;
}

absl::Status TopologyIndex::Describe(const Component& component) {
  const std::string rest = RestBlock(component.name);
  blocks.push_back({rest, /*removable=*/false, /*origin=*/rest});
  const size_t first_block = blocks.size();
  std::map<std::string, LinearInfo> described;
  std::vector<std::pair<std::string, nn::Linear*>> found;
  // named_modules() walks in the order of registration, a parent before its children.
  for (const auto& item : component.module->named_modules("", /*include_self=*/true)) {
    // The root's own key is empty and its children's start with a dot.
    absl::string_view key = item.key();
    absl::ConsumePrefix(&key, ".");
    const std::string path = JoinTensorPath(component.name, key);
    module_index.emplace(path, modules.size());
    modules.push_back({item.value().get(), path});
    if (auto* linear = dynamic_cast<nn::Linear*>(item.value().get()))
      found.push_back({path, linear});
    const auto* describable = dynamic_cast<const nn::Describable*>(item.value().get());
    if (describable == nullptr) continue;
    TopologyBuilder builder(path);
    describable->Describe(builder);
    for (const BlockInfo& block : builder.blocks()) blocks.push_back(block);
    for (const LinearInfo& linear : builder.linears()) {
      if (!described.emplace(linear.path, linear).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("linear ", linear.path, " is described twice"));
      }
    }
    for (const AxisGroup& group : builder.groups()) groups.push_back(group);
    for (const AttentionInfo& info : builder.attentions()) attentions.push_back(info);
    for (const ElementwiseInfo& info : builder.elementwise()) elementwise.push_back(info);
    float32_paths.insert(builder.float32_paths().begin(), builder.float32_paths().end());
  }
  WANLITE_RETURN_IF_ERROR(SetOrigins(component, first_block));
  for (const auto& [path, module] : found) {
    linear_modules[path] = module;
    if (dynamic_cast<nn::Embedding*>(module) != nullptr) {
      embeddings.push_back({path, "", "embedding", TokenStream::kText, /*sensitive=*/true});
      continue;
    }
    LinearInfo info{path, "", "", TokenStream::kVideo, false};
    if (auto it = described.find(path); it != described.end()) {
      info = it->second;
      described.erase(it);
    }
    linear_index[path] = linears.size();
    linears.push_back(std::move(info));
  }
  if (!described.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the topology names a linear that does not exist: ", described.begin()->first));
  }
  return absl::OkStatus();
}

absl::Status TopologyIndex::SetOrigins(const Component& component, size_t first_block) {
  if (component.block_origin.empty()) return absl::OkStatus();
  std::set<std::string> origins;
  for (size_t i = first_block; i < blocks.size(); ++i) {
    absl::string_view inside = blocks[i].path;
    if (!component.name.empty()) absl::ConsumePrefix(&inside, component.name + ".");
    const auto origin = component.block_origin.find(std::string(inside));
    if (origin == component.block_origin.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("block_origin does not name the block ", blocks[i].path));
    }
    if (origin->second.empty() || !origins.insert(origin->second).second) {
      return absl::InvalidArgumentError(absl::StrCat("block_origin has '", origin->second, "' for ",
                                                     blocks[i].path,
                                                     ", which is empty or another block's"));
    }
    blocks[i].origin = JoinTensorPath(component.name, origin->second);
  }
  if (origins.size() == component.block_origin.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("block_origin of '", component.name, "' names ",
                                                 component.block_origin.size(), " blocks, it has ",
                                                 origins.size()));
}

absl::Status TopologyIndex::Finish() {
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (!block_index.emplace(blocks[i].path, i).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("block ", blocks[i].path, " is declared twice"));
    }
  }
  for (size_t i = 0; i < modules.size(); ++i) block_modules[BlockOf(modules[i].path)].push_back(i);
  for (const BlockInfo& block : blocks) {
    // One tensor may be declared a block.
    const auto owner = module_index.find(ParentPath(block.path));
    if (owner == module_index.end() || module_index.contains(block.path) ||
        BlockOf(modules[owner->second].path) == block.path) {
      continue;
    }
    block_modules[block.path].push_back(owner->second);
  }
  std::set<std::string> names;
  for (const NamedTensor& named : Tensors()) {
    if (!names.insert(named.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("two tensors are named ", named.name));
    }
  }
  for (LinearInfo& linear : linears) linear.block = BlockOf(linear.path);
  for (LinearInfo& embedding : embeddings) embedding.block = BlockOf(embedding.path);
  for (size_t i = 0; i < groups.size(); ++i) {
    AxisGroup& group = groups[i];
    if (!group_index.emplace(group.name, i).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("axis group ", group.name, " is declared twice"));
    }
    if (group.refs.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("axis group ", group.name, " has no tensors"));
    }
    std::set<size_t> of_group;
    for (const AxisRef& ref : group.refs) {
      if (!linear_modules.contains(ref.tensor) && !names.contains(ref.tensor)) {
        return absl::InvalidArgumentError(absl::StrCat("axis group ", group.name, " names ",
                                                       ref.tensor, ", which does not exist"));
      }
      WANLITE_RETURN_IF_ERROR(CheckRef(group, ref));
      of_group.insert(block_index.find(BlockOf(ref.tensor))->second);
    }
    group.blocks.clear();
    for (const size_t block : of_group) group.blocks.push_back(blocks[block].path);
    group.block = group.blocks.size() == 1 ? group.blocks.front() : std::string();
  }
  return CheckWork(names);
}

absl::Status TopologyIndex::CheckWork(const std::set<std::string>& tensors) {
  const auto missing = [](absl::string_view what, const std::string& path) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " names ", path, ", which does not exist"));
  };
  for (const AttentionInfo& attention : attentions) {
    if (!linear_modules.contains(attention.query)) return missing("an attention", attention.query);
    if (!group_index.contains(attention.heads)) return missing("an attention", attention.heads);
  }
  for (ElementwiseInfo& info : elementwise) {
    if (info.of == ElementwiseInfo::Of::kTensor) {
      if (!tensors.contains(info.path)) return missing("a norm", info.path);
      continue;
    }
    const auto linear = linear_index.find(info.path);
    if (linear == linear_index.end()) return missing("an element-wise operation", info.path);
    info.stream = linears[linear->second].stream;
  }
  return absl::OkStatus();
}

size_t TopologyIndex::ComponentOf(absl::string_view path) const {
  size_t best = 0;
  for (size_t i = 0; i < component_names.size(); ++i) {
    if (IsUnder(path, component_names[i]) &&
        (component_names[i].size() >= component_names[best].size() ||
         !IsUnder(path, component_names[best]))) {
      best = i;
    }
  }
  return best;
}

const std::string& TopologyIndex::BlockOf(absl::string_view path) const {
  // Longest declared prefix on whole segments.
  absl::string_view prefix = path;
  while (true) {
    if (auto it = block_index.find(prefix); it != block_index.end()) return blocks[it->second].path;
    const size_t dot = prefix.rfind('.');
    if (dot == absl::string_view::npos) break;
    prefix = prefix.substr(0, dot);
  }
  const std::string& component = component_names[ComponentOf(path)];
  const auto it = block_index.find(RestBlock(component));
  return blocks[it->second].path;
}

std::vector<NamedTensor> TopologyIndex::Tensors() const {
  std::vector<NamedTensor> out;
  for (const ModuleEntry& entry : modules) {
    for (NamedTensor& named : OwnTensors(*entry.module, entry.path)) {
      out.push_back(std::move(named));
    }
  }
  return out;
}

std::vector<NamedTensor> TopologyIndex::BlockTensors(absl::string_view block) const {
  std::vector<NamedTensor> out;
  const auto found = block_modules.find(block);
  if (found == block_modules.end()) return out;
  for (const size_t i : found->second) {
    for (NamedTensor& named : OwnTensors(*modules[i].module, modules[i].path)) {
      if (BlockOf(named.name) == block) out.push_back(std::move(named));
    }
  }
  return out;
}

absl::StatusOr<at::Tensor> TopologyIndex::FindTensor(absl::string_view path) const {
  // Names of tensors have no dots.
  const auto owner = module_index.find(ParentPath(path));
  if (owner != module_index.end()) {
    const ModuleEntry& entry = modules[owner->second];
    for (const NamedTensor& named : OwnTensors(*entry.module, entry.path)) {
      if (named.name == path) return named.tensor;
    }
  }
  return absl::NotFoundError(absl::StrCat("the model has no tensor ", path));
}

absl::StatusOr<ModelView> ModelView::Create(std::vector<Component> components) {
  if (components.empty()) return absl::InvalidArgumentError("a model needs at least one component");
  auto rep = std::make_unique<Rep>();
  std::set<std::string> names;
  for (const Component& component : components) {
    if (component.module == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("component '", component.name, "' has no module"));
    }
    if (component.name.find('.') != std::string::npos || component.name == RestBlock("")) {
      return absl::InvalidArgumentError(
          absl::StrCat("a component cannot be named '", component.name, "'"));
    }
    if (!names.insert(component.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two components are named '", component.name, "'"));
    }
  }
  if (names.contains("") && components.size() > 1) {
    return absl::InvalidArgumentError("only a lone component may have an empty name");
  }
  rep->components = std::move(components);
  WANLITE_ASSIGN_OR_RETURN(rep->index,
                           CatchTorch([&] { return TopologyIndex::Build(rep->components); }));
  return ModelView(std::move(rep));
}

ModelView::ModelView(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
ModelView::ModelView(ModelView&&) noexcept = default;
ModelView& ModelView::operator=(ModelView&&) noexcept = default;
ModelView::~ModelView() = default;

const std::vector<Component>& ModelView::components() const { return rep_->components; }
const PipelineFiles& ModelView::pipeline() const { return rep_->pipeline; }
void ModelView::SetPipeline(PipelineFiles files) { rep_->pipeline = std::move(files); }

const Component* ModelView::FindComponent(absl::string_view name) const {
  for (const Component& component : rep_->components) {
    if (component.name == name) return &component;
  }
  return nullptr;
}

const Component& ModelView::ComponentOf(absl::string_view path) const {
  return rep_->components[rep_->index.ComponentOf(path)];
}

const std::vector<BlockInfo>& ModelView::blocks() const { return rep_->index.blocks; }
const std::vector<LinearInfo>& ModelView::linears() const { return rep_->index.linears; }
const std::vector<AxisGroup>& ModelView::groups() const { return rep_->index.groups; }
const std::vector<AttentionInfo>& ModelView::attentions() const { return rep_->index.attentions; }
const std::vector<ElementwiseInfo>& ModelView::elementwise() const {
  return rep_->index.elementwise;
}
const std::vector<LinearInfo>& ModelView::embeddings() const { return rep_->index.embeddings; }
std::vector<LinearInfo> ModelView::weights() const {
  std::vector<LinearInfo> all = rep_->index.linears;
  all.insert(all.end(), rep_->index.embeddings.begin(), rep_->index.embeddings.end());
  return all;
}
const std::string& ModelView::BlockOf(absl::string_view path) const {
  return rep_->index.BlockOf(path);
}

const LinearInfo* ModelView::FindLinear(absl::string_view path) const {
  const auto it = rep_->index.linear_index.find(path);
  return it == rep_->index.linear_index.end() ? nullptr : &rep_->index.linears[it->second];
}

std::vector<NamedTensor> ModelView::Tensors() const { return rep_->index.Tensors(); }

std::vector<NamedTensor> ModelView::BlockTensors(absl::string_view block) const {
  return rep_->index.BlockTensors(block);
}

absl::StatusOr<at::Tensor> ModelView::FindTensor(absl::string_view path) const {
  return rep_->index.FindTensor(path);
}

bool ModelView::KeepsFloat32(absl::string_view tensor_path) const {
  for (absl::string_view prefix = tensor_path; !prefix.empty(); prefix = ParentPath(prefix)) {
    if (rep_->index.float32_paths.contains(prefix)) return true;
  }
  return rep_->index.float32_paths.contains("");
}

std::string ModelView::Fingerprint() const {
  std::string text;
  for (const Component& component : rep_->components) {
    absl::StrAppend(&text, "component ", component.name, " ", component.architecture, "\n");
  }
  return Sha256Hex(absl::StrCat(text, DumpModel(*this)));
}

}  // namespace wanlite
