// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/model_view.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/model/checked_cast.h"
#include "src/model/dump.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr absl::string_view kRootBlock = "root";

std::string Join(absl::string_view prefix, absl::string_view path) {
  if (prefix.empty()) return std::string(path);
  if (path.empty()) return std::string(prefix);
  return absl::StrCat(prefix, ".", path);
}

// True when `path` is `prefix` or lies below it.
bool IsUnder(absl::string_view path, absl::string_view prefix) {
  return prefix.empty() || path == prefix ||
         (absl::ConsumePrefix(&path, prefix) && !path.empty() && path.front() == '.');
}

// The path of the module that a tensor of this path is registered in.
absl::string_view Parent(absl::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == absl::string_view::npos ? absl::string_view() : path.substr(0, dot);
}

std::string ShapeText(at::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Parameters and buffers of one module, without its children's.
std::vector<NamedTensor> OwnTensors(const torch::nn::Module& module, absl::string_view path) {
  std::vector<NamedTensor> out;
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    out.push_back({Join(path, item.key()), item.value()});
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    out.push_back({Join(path, item.key()), item.value()});
  }
  return out;
}

// The given indices along a dimension; of a hollow tensor their shape.
at::Tensor SelectIndices(const at::Tensor& tensor, int64_t dim, const at::Tensor& index) {
  if (!nn::IsHollow(tensor)) return tensor.index_select(dim, index.to(tensor.device())).detach();
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape[static_cast<size_t>(dim)] = index.numel();
  const nn::HollowGuard hollow;
  return nn::NewTensor(shape, tensor.scalar_type());
}

}  // namespace

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

struct ModelView::Rep {
  std::vector<Component> components;
  std::vector<BlockInfo> blocks;
  std::vector<LinearInfo> linears;
  std::vector<AxisGroup> groups;
  std::set<std::string, std::less<>> float32_paths;
  // The tree of modules stays as it is; their tensors are exchanged. In the order of the tree.
  struct ModuleEntry {
    const torch::nn::Module* module;
    std::string path;
  };
  std::vector<ModuleEntry> modules;
  std::map<std::string, size_t, std::less<>> module_index;
  // Modules that tensors of a block are registered in, by block.
  std::map<std::string, std::vector<size_t>, std::less<>> block_modules;
  std::map<std::string, size_t, std::less<>> group_index;
  std::map<std::string, nn::Linear*, std::less<>> linear_modules;
  std::map<std::string, size_t, std::less<>> linear_index;
  std::map<std::string, size_t, std::less<>> block_index;
  std::shared_ptr<const TensorSource> source;
  bool streaming = false;
  std::set<std::string> leased;

  absl::Status Describe(const Component& component);
  absl::Status Finish();
  const std::string& BlockOf(absl::string_view path) const;
  const Component& ComponentOf(absl::string_view path) const;
  std::vector<NamedTensor> Tensors() const;
  std::vector<NamedTensor> BlockTensors(absl::string_view block) const;
  absl::Status Fill(const std::vector<NamedTensor>& tensors);
  void Release(const std::string& block);
};

absl::Status ModelView::Rep::Describe(const Component& component) {
  blocks.push_back({component.name.empty() ? std::string(kRootBlock) : component.name, false});
  std::map<std::string, LinearInfo> described;
  std::vector<std::pair<std::string, nn::Linear*>> found;
  // named_modules() walks in the order of registration, a parent before its children.
  for (const auto& item : component.module->named_modules("", /*include_self=*/true)) {
    // The root's own key is empty and its children's start with a dot.
    absl::string_view key = item.key();
    absl::ConsumePrefix(&key, ".");
    const std::string path = Join(component.name, key);
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
    float32_paths.insert(builder.float32_paths().begin(), builder.float32_paths().end());
  }
  for (const auto& [path, module] : found) {
    LinearInfo info{path, "", "", TokenStream::kVideo, false};
    if (auto it = described.find(path); it != described.end()) {
      info = it->second;
      described.erase(it);
    }
    linear_index[path] = linears.size();
    linears.push_back(std::move(info));
    linear_modules[path] = module;
  }
  if (!described.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the topology names a linear that does not exist: ", described.begin()->first));
  }
  return absl::OkStatus();
}

absl::Status ModelView::Rep::Finish() {
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (!block_index.emplace(blocks[i].path, i).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("block ", blocks[i].path, " is declared twice"));
    }
  }
  for (size_t i = 0; i < modules.size(); ++i) block_modules[BlockOf(modules[i].path)].push_back(i);
  for (const BlockInfo& block : blocks) {
    // One tensor may be declared a block.
    const auto owner = module_index.find(Parent(block.path));
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
  for (size_t i = 0; i < groups.size(); ++i) {
    AxisGroup& group = groups[i];
    if (!group_index.emplace(group.name, i).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("axis group ", group.name, " is declared twice"));
    }
    if (group.refs.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("axis group ", group.name, " has no tensors"));
    }
    for (const AxisRef& ref : group.refs) {
      if (!linear_modules.contains(ref.tensor) && !names.contains(ref.tensor)) {
        return absl::InvalidArgumentError(absl::StrCat("axis group ", group.name, " names ",
                                                       ref.tensor, ", which does not exist"));
      }
    }
    group.block = BlockOf(group.refs.front().tensor);
  }
  return absl::OkStatus();
}

const Component& ModelView::Rep::ComponentOf(absl::string_view path) const {
  const Component* best = &components.front();
  for (const Component& component : components) {
    if (IsUnder(path, component.name) &&
        (component.name.size() >= best->name.size() || !IsUnder(path, best->name))) {
      best = &component;
    }
  }
  return *best;
}

const std::string& ModelView::Rep::BlockOf(absl::string_view path) const {
  // Longest declared prefix on whole segments.
  absl::string_view prefix = path;
  while (true) {
    if (auto it = block_index.find(prefix); it != block_index.end()) return blocks[it->second].path;
    const size_t dot = prefix.rfind('.');
    if (dot == absl::string_view::npos) break;
    prefix = prefix.substr(0, dot);
  }
  const Component& component = ComponentOf(path);
  const auto it =
      block_index.find(component.name.empty() ? kRootBlock : absl::string_view(component.name));
  return blocks[it->second].path;
}

std::vector<NamedTensor> ModelView::Rep::Tensors() const {
  std::vector<NamedTensor> out;
  for (const ModuleEntry& entry : modules) {
    for (NamedTensor& named : OwnTensors(*entry.module, entry.path)) {
      out.push_back(std::move(named));
    }
  }
  return out;
}

std::vector<NamedTensor> ModelView::Rep::BlockTensors(absl::string_view block) const {
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

absl::Status ModelView::Rep::Fill(const std::vector<NamedTensor>& tensors) {
  // Everything is read before anything changes.
  std::vector<at::Tensor> values;
  for (const NamedTensor& named : tensors) {
    WANLITE_ASSIGN_OR_RETURN(at::Tensor value, source->Read(named.name));
    if (value.sizes() != named.tensor.sizes() ||
        value.scalar_type() != named.tensor.scalar_type()) {
      return absl::InvalidArgumentError(absl::StrCat(
          named.name, " is ", DtypeName(value.scalar_type()), " ", ShapeText(value.sizes()),
          " in the file, the model wants ", DtypeName(named.tensor.scalar_type()), " ",
          ShapeText(named.tensor.sizes())));
    }
    values.push_back(std::move(value));
  }
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    for (size_t i = 0; i < tensors.size(); ++i) tensors[i].tensor.set_data(values[i]);
  });
}

void ModelView::Rep::Release(const std::string& block) {
  leased.erase(block);
  if (!streaming) return;
  at::NoGradGuard no_grad;
  for (const NamedTensor& named : BlockTensors(block)) {
    named.tensor.set_data(nn::HollowLike(named.tensor));
    source->Release(named.name);
  }
#if defined(__GLIBC__)
  // The allocator keeps what a block needed, in holes that the next block's tensors do not all fit:
  // without this a streamed model's memory grows by half a block per block.
  malloc_trim(0);
#endif
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
    if (component.name.find('.') != std::string::npos || component.name == kRootBlock) {
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
  for (const Component& component : rep->components) {
    WANLITE_RETURN_IF_ERROR(CatchTorch([&] { return rep->Describe(component); }));
  }
  WANLITE_RETURN_IF_ERROR(rep->Finish());
  return ModelView(std::move(rep));
}

ModelView::ModelView(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
ModelView::ModelView(ModelView&&) noexcept = default;
ModelView& ModelView::operator=(ModelView&&) noexcept = default;
ModelView::~ModelView() = default;

const std::vector<Component>& ModelView::components() const { return rep_->components; }

const Component* ModelView::FindComponent(absl::string_view name) const {
  for (const Component& component : rep_->components) {
    if (component.name == name) return &component;
  }
  return nullptr;
}

const Component& ModelView::ComponentOf(absl::string_view path) const {
  return rep_->ComponentOf(path);
}

const std::vector<BlockInfo>& ModelView::blocks() const { return rep_->blocks; }
const std::vector<LinearInfo>& ModelView::linears() const { return rep_->linears; }
const std::vector<AxisGroup>& ModelView::groups() const { return rep_->groups; }
const std::string& ModelView::BlockOf(absl::string_view path) const { return rep_->BlockOf(path); }

const LinearInfo* ModelView::FindLinear(absl::string_view path) const {
  const auto it = rep_->linear_index.find(path);
  return it == rep_->linear_index.end() ? nullptr : &rep_->linears[it->second];
}

std::vector<NamedTensor> ModelView::Tensors() const { return rep_->Tensors(); }

std::vector<NamedTensor> ModelView::BlockTensors(absl::string_view block) const {
  return rep_->BlockTensors(block);
}

absl::StatusOr<at::Tensor> ModelView::FindTensor(absl::string_view path) const {
  // Names of tensors have no dots.
  const auto owner = rep_->module_index.find(Parent(path));
  if (owner != rep_->module_index.end()) {
    const Rep::ModuleEntry& entry = rep_->modules[owner->second];
    for (const NamedTensor& named : OwnTensors(*entry.module, entry.path)) {
      if (named.name == path) return named.tensor;
    }
  }
  return absl::NotFoundError(absl::StrCat("the model has no tensor ", path));
}

bool ModelView::KeepsFloat32(absl::string_view tensor_path) const {
  for (absl::string_view prefix = tensor_path; !prefix.empty(); prefix = Parent(prefix)) {
    if (rep_->float32_paths.contains(prefix)) return true;
  }
  return rep_->float32_paths.contains("");
}

absl::StatusOr<const LinearWeight*> ModelView::Weight(absl::string_view linear) const {
  const auto it = rep_->linear_modules.find(linear);
  if (it == rep_->linear_modules.end()) {
    return absl::NotFoundError(absl::StrCat("the model has no linear layer ", linear));
  }
  return &it->second->weight();
}

absl::Status ModelView::SetLinearWeight(absl::string_view linear,
                                        std::unique_ptr<LinearWeight> weight) {
  const auto it = rep_->linear_modules.find(linear);
  if (it == rep_->linear_modules.end()) {
    return absl::NotFoundError(absl::StrCat("the model has no linear layer ", linear));
  }
  if (weight == nullptr)
    return absl::InvalidArgumentError(absl::StrCat(linear, ": no weight given"));
  return Annotate(CatchTorch([&] { it->second->SetWeight(std::move(weight)); }), linear);
}

absl::Status ModelView::KeepUnits(absl::string_view group_name, const at::Tensor& keep) {
  const auto found_group = rep_->group_index.find(group_name);
  if (found_group == rep_->group_index.end()) {
    return absl::NotFoundError(absl::StrCat("the model has no axis group ", group_name));
  }
  AxisGroup* group = &rep_->groups[found_group->second];
  if (!keep.defined() || keep.dim() != 1 || keep.scalar_type() != at::kLong || keep.numel() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(group_name, ": keep must be a non-empty int64 vector"));
  }
  const at::Tensor units = keep.cpu().contiguous();
  const int64_t* unit = units.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < units.numel(); ++i) {
    if (unit[i] < 0 || unit[i] >= group->units || (i > 0 && unit[i] <= unit[i - 1])) {
      return absl::InvalidArgumentError(absl::StrCat(group_name, ": keep[", i, "] = ", unit[i],
                                                     "; wanted ascending units below ",
                                                     group->units));
    }
  }

  // Everything new is made first; only then is anything exchanged.
  struct NewWeight {
    nn::Linear* linear;
    std::unique_ptr<LinearWeight> weight;
    std::optional<at::Tensor> bias;
  };
  std::map<nn::Linear*, NewWeight> weights;
  struct NewValue {
    at::Tensor tensor, value;
  };
  // By path: a tensor may be named by several refs, along one dim each.
  std::map<std::string, NewValue> tensors;
  WANLITE_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
    at::NoGradGuard no_grad;
    for (const AxisRef& ref : group->refs) {
      const at::Tensor index =
          (units.unsqueeze(1) * ref.repeat + at::arange(ref.repeat, at::kLong)).flatten();
      const int64_t want = group->units * ref.repeat;
      if (auto it = rep_->linear_modules.find(ref.tensor); it != rep_->linear_modules.end()) {
        nn::Linear* linear = it->second;
        NewWeight& entry =
            weights.try_emplace(linear, NewWeight{linear, nullptr, linear->bias()}).first->second;
        const LinearWeight& current = entry.weight ? *entry.weight : linear->weight();
        const int64_t size = ref.dim == 0 ? current.out_features() : current.in_features();
        if (size != want) {
          return absl::InternalError(absl::StrCat(group_name, ": ", ref.tensor, " has ", size,
                                                  " indices along dim ", ref.dim, ", declared ",
                                                  want));
        }
        auto selected = current.Select(ref.dim, index);
        if (!selected.ok()) {
          return Annotate(selected.status(), absl::StrCat(group_name, ": ", ref.tensor));
        }
        entry.weight = *std::move(selected);
        if (ref.dim == 0 && entry.bias.has_value()) {
          entry.bias = SelectIndices(*entry.bias, 0, index);
        }
        continue;
      }
      const auto [it, is_new] = tensors.try_emplace(ref.tensor);
      at::Tensor& value = it->second.value;
      if (is_new) {
        WANLITE_ASSIGN_OR_RETURN(it->second.tensor, FindTensor(ref.tensor));
        value = it->second.tensor.detach();
      }
      if (ref.dim < 0 || ref.dim >= value.dim() || value.size(ref.dim) != want) {
        return absl::InternalError(absl::StrCat(group_name, ": ", ref.tensor, " is ",
                                                ShapeText(value.sizes()), ", declared ", want,
                                                " along dim ", ref.dim));
      }
      value = SelectIndices(value, ref.dim, index);
      if (ref.role == AxisRole::kNormalized && !nn::IsHollow(value)) {
        const double scale =
            std::sqrt(static_cast<double>(group->units) / static_cast<double>(units.numel()));
        WANLITE_ASSIGN_OR_RETURN(
            value, CheckedCast(value.to(at::kDouble) * scale, value.scalar_type(), ref.tensor));
      }
    }
    return absl::OkStatus();
  }));

  std::vector<NewWeight> old_weights;
  std::vector<NewValue> old_values;
  const absl::Status exchanged = CatchTorch([&] {
    at::NoGradGuard no_grad;
    old_weights.reserve(weights.size());
    old_values.reserve(tensors.size());
    for (auto& [linear, entry] : weights) {
      const std::optional<at::Tensor> bias = linear->bias();
      old_weights.push_back(
          {linear, linear->SetWeight(std::move(entry.weight), /*resize=*/true), bias});
      linear->SetBias(std::move(entry.bias));
    }
    for (auto& [path, entry] : tensors) {
      old_values.push_back({entry.tensor, entry.tensor.detach()});
      entry.tensor.set_data(entry.value);
    }
  });
  if (!exchanged.ok()) {
    // What a weight of a foreign format refuses leaves no half of the group behind.
    const absl::Status undone = CatchTorch([&] {
      at::NoGradGuard no_grad;
      for (NewWeight& old : old_weights) {
        old.linear->SetWeight(std::move(old.weight), /*resize=*/true);
        old.linear->SetBias(std::move(old.bias));
      }
      for (const NewValue& old : old_values) old.tensor.set_data(old.value);
    });
    return Annotate(undone.ok() ? exchanged : undone, group_name);
  }
  if (units.numel() != group->units && !group->refs.empty()) {
    const std::string changed = ComponentOf(group->refs.front().tensor).name;
    for (Component& component : rep_->components) {
      component.resized = component.resized || component.name == changed;
    }
  }
  group->units = units.numel();
  return absl::OkStatus();
}

absl::Status ModelView::SetTensor(absl::string_view path, const at::Tensor& value) {
  WANLITE_ASSIGN_OR_RETURN(at::Tensor tensor, FindTensor(path));
  if (!value.defined() || value.sizes() != tensor.sizes() ||
      value.scalar_type() != tensor.scalar_type()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is ", DtypeName(tensor.scalar_type()), " ", ShapeText(tensor.sizes()),
        ", the new value ",
        value.defined()
            ? absl::StrCat(DtypeName(value.scalar_type()), " ", ShapeText(value.sizes()))
            : "undefined"));
  }
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    tensor.set_data(value.detach());
  });
}

void ModelView::AttachSource(std::shared_ptr<const TensorSource> source) {
  rep_->source = std::move(source);
  rep_->streaming = rep_->source != nullptr;
}

bool ModelView::streaming() const { return rep_->streaming; }

absl::StatusOr<BlockLease> ModelView::Lease(absl::string_view block) {
  if (!rep_->block_index.contains(block)) {
    return absl::NotFoundError(absl::StrCat("the model has no block ", block));
  }
  if (rep_->leased.contains(std::string(block))) {
    return absl::FailedPreconditionError(absl::StrCat("block ", block, " is leased already"));
  }
  if (rep_->streaming) {
    WANLITE_RETURN_IF_ERROR(Annotate(rep_->Fill(rep_->BlockTensors(block)), block));
  }
  rep_->leased.insert(std::string(block));
  return BlockLease(rep_.get(), std::string(block));
}

absl::Status ModelView::LoadAll() {
  if (!rep_->streaming) return absl::OkStatus();
  if (!rep_->leased.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("LoadAll while block ", *rep_->leased.begin(), " is leased"));
  }
  WANLITE_RETURN_IF_ERROR(rep_->Fill(Tensors()));
  rep_->streaming = false;
  rep_->source = nullptr;
  return absl::OkStatus();
}

absl::Status ModelView::Cast(at::ScalarType dtype) {
  if (rep_->streaming) return absl::FailedPreconditionError("Cast: the model is not in memory");
  if (!at::isFloatingType(dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("Cast: ", DtypeName(dtype), " is not a float type"));
  }
  std::set<std::string> quantized;
  for (const auto& [path, linear] : rep_->linear_modules) {
    if (linear->weight().trainable()) continue;
    for (const NamedTensor& state : linear->weight().State())
      quantized.insert(Join(path, state.name));
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> old;
  absl::Status status = CatchTorch([&]() -> absl::Status {
    at::NoGradGuard no_grad;
    for (const NamedTensor& named : Tensors()) {
      if (!named.tensor.is_floating_point() || quantized.contains(named.name)) continue;
      const at::ScalarType target = KeepsFloat32(named.name) ? at::kFloat : dtype;
      if (named.tensor.scalar_type() == target) continue;
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor cast,
                               CheckedCast(named.tensor, target, named.name));
      // Of a model that was read from files the old values are pages of theirs, not memory.
      old.emplace_back(named.tensor, named.tensor.detach());
      named.tensor.set_data(cast);
    }
    return absl::OkStatus();
  });
  if (status.ok()) return status;
  const absl::Status undone = CatchTorch([&] {
    at::NoGradGuard no_grad;
    for (auto& [tensor, value] : old) tensor.set_data(value);
  });
  return undone.ok() ? status : undone;
}

absl::Status ModelView::To(const at::Device& device) {
  if (rep_->streaming) return absl::FailedPreconditionError("To: the model is not in memory");
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    for (const NamedTensor& named : Tensors()) {
      if (named.tensor.device() != device) named.tensor.set_data(named.tensor.detach().to(device));
    }
  });
}

std::string ModelView::Fingerprint() const {
  std::string text;
  for (const Component& component : rep_->components) {
    absl::StrAppend(&text, "component ", component.name, " ", component.architecture, "\n");
  }
  return Sha256Hex(absl::StrCat(text, DumpModel(*this)));
}

BlockLease::BlockLease(BlockLease&& other) noexcept
    : rep_(std::exchange(other.rep_, nullptr)), block_(std::move(other.block_)) {}

BlockLease::~BlockLease() {
  if (rep_ != nullptr) rep_->Release(block_);
}

std::vector<NamedTensor> BlockLease::State() const { return rep_->BlockTensors(block_); }

}  // namespace wanlite
