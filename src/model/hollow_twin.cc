// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/hollow_twin.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "wanlite/architecture.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// The topology of a component as its own modules have declared it; paths are relative to it.
struct Declared {
  std::vector<BlockInfo> blocks;
  std::vector<LinearInfo> linears;
  std::vector<AxisGroup> groups;
  std::vector<std::string> float32_paths;
};

class StandIn : public torch::nn::Module, public nn::Describable {
 public:
  void Describe(TopologyBuilder& topology) const override {
    for (const BlockInfo& block : declared.blocks) topology.Block(block.path, block.removable);
    for (const LinearInfo& linear : declared.linears) {
      topology.Linear(linear.path, linear.kind, linear.stream, linear.sensitive,
                      linear.token_share);
    }
    for (const AxisGroup& group : declared.groups) topology.Group(group);
    for (const std::string& path : declared.float32_paths) topology.KeepFloat32(path);
  }
  Declared declared;  // of the root alone
};

// The path inside the component.
std::string Inside(const Component& component, absl::string_view path) {
  if (!component.name.empty()) absl::ConsumePrefix(&path, absl::StrCat(component.name, "."));
  return std::string(path);
}

Declared DeclaredBy(const ModelView& model, const Component& component) {
  const auto ours = [&](const std::string& path) { return &model.ComponentOf(path) == &component; };
  Declared declared;
  bool rest = true;  // which is a component's first block, and never declared
  for (const BlockInfo& block : model.blocks()) {
    if (!ours(block.path)) continue;
    if (!std::exchange(rest, false)) {
      declared.blocks.push_back({Inside(component, block.path), block.removable});
    }
  }
  for (LinearInfo linear : model.linears()) {
    if (!ours(linear.path) || linear.kind.empty()) continue;
    linear.path = Inside(component, linear.path);
    declared.linears.push_back(std::move(linear));
  }
  for (AxisGroup group : model.groups()) {
    if (group.refs.empty() || !ours(group.refs.front().tensor)) continue;
    group.name = Inside(component, group.name);
    for (AxisRef& ref : group.refs) ref.tensor = Inside(component, ref.tensor);
    declared.groups.push_back(std::move(group));
  }
  for (const NamedTensor& named : model.Tensors()) {
    if (ours(named.name) && model.KeepsFloat32(named.name)) {
      declared.float32_paths.push_back(Inside(component, named.name));
    }
  }
  return declared;
}

at::Tensor Hollow(const at::Tensor& tensor) { return nn::HollowLike(tensor); }

// A weight of the same format, of any: all its rows, then their values are let go.
absl::StatusOr<std::unique_ptr<LinearWeight>> HollowWeight(const LinearWeight& weight) {
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> copy,
                           weight.Select(0, at::arange(weight.out_features(), at::kLong)));
  for (const auto& named : copy->State()) named.tensor.set_data(Hollow(named.tensor));
  return copy;
}

absl::StatusOr<std::shared_ptr<torch::nn::Module>> TwinOf(const torch::nn::Module& module) {
  if (const auto* linear = dynamic_cast<const nn::Linear*>(&module)) {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> weight, HollowWeight(linear->weight()));
    const nn::HollowGuard hollow;
    const bool table = dynamic_cast<const nn::Embedding*>(&module) != nullptr;
    const int64_t in = linear->in_features(), out = linear->out_features();
    const std::shared_ptr<nn::Linear> twin =
        table ? std::make_shared<nn::Embedding>(out, in)
              : std::make_shared<nn::Linear>(in, out, linear->bias().has_value());
    twin->SetWeight(std::move(weight));
    if (linear->bias().has_value()) twin->SetBias(Hollow(*linear->bias()));
    return twin;
  }
  auto twin = std::make_shared<StandIn>();
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    twin->register_parameter(item.key(), Hollow(item.value()), /*requires_grad=*/false);
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    twin->register_buffer(item.key(), Hollow(item.value()));
  }
  return twin;
}

absl::StatusOr<std::shared_ptr<torch::nn::Module>> TwinTree(const ModelView& model,
                                                            const Component& component) {
  at::NoGradGuard no_grad;
  std::map<std::string, std::shared_ptr<torch::nn::Module>> twins;
  // A parent comes before its children; the root's own key is empty and theirs start with a dot.
  for (const auto& item : component.module->named_modules("", /*include_self=*/true)) {
    absl::string_view key = item.key();
    absl::ConsumePrefix(&key, ".");
    WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<torch::nn::Module> twin, TwinOf(*item.value()));
    if (!key.empty()) {
      const size_t dot = key.rfind('.');
      const absl::string_view parent =
          dot == absl::string_view::npos ? absl::string_view() : key.substr(0, dot);
      const absl::string_view name = dot == absl::string_view::npos ? key : key.substr(dot + 1);
      twins.at(std::string(parent))->register_module(std::string(name), twin);
    } else if (auto* root = dynamic_cast<StandIn*>(twin.get())) {
      root->declared = DeclaredBy(model, component);
    }
    twins.emplace(std::string(key), std::move(twin));
  }
  return twins.at("");
}

// Built as the architecture builds it, where there is one: such a twin can be rebuilt like the
// model.
absl::StatusOr<std::shared_ptr<torch::nn::Module>> BuiltTwin(const Component& component,
                                                             const std::string& config_json) {
  at::NoGradGuard no_grad;
  std::shared_ptr<torch::nn::Module> twin;
  {
    const nn::HollowGuard hollow;
    WANLITE_ASSIGN_OR_RETURN(twin, component.definition->build(config_json));
  }
  if (twin == nullptr) {
    return absl::InternalError(absl::StrCat(component.architecture, ": build gave no module"));
  }
  std::map<std::string, std::shared_ptr<torch::nn::Module>> twins;
  for (const auto& item : twin->named_modules("", /*include_self=*/true)) {
    twins[item.key()] = item.value();
  }
  for (const auto& item : component.module->named_modules("", /*include_self=*/true)) {
    const auto found = twins.find(item.key());
    if (found == twins.end()) {
      return absl::InternalError(
          absl::StrCat(component.architecture, ": its config builds no module '", item.key(), "'"));
    }
    const auto* linear = dynamic_cast<const nn::Linear*>(item.value().get());
    auto* twin_linear = dynamic_cast<nn::Linear*>(found->second.get());
    if (linear != nullptr && twin_linear != nullptr) {
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> weight,
                               HollowWeight(linear->weight()));
      twin_linear->SetWeight(std::move(weight));
    }
    const auto tensors = found->second->named_parameters(/*recurse=*/false);
    for (const auto& own : item.value()->named_parameters(/*recurse=*/false)) {
      const at::Tensor* tensor = tensors.find(own.key());
      if (tensor == nullptr || tensor->sizes() != own.value().sizes()) {
        return absl::InternalError(absl::StrCat(component.architecture, ": its config does not ",
                                                "give the sizes of ", item.key(), ".", own.key()));
      }
      if (tensor->scalar_type() != own.value().scalar_type()) {
        at::Tensor handle = *tensor;
        handle.set_data(Hollow(own.value()));
      }
    }
  }
  return twin;
}

}  // namespace

absl::StatusOr<ModelView> HollowTwin(const ModelView& model) {
  std::vector<Component> components = model.components();
  for (size_t i = 0; i < components.size(); ++i) {
    const Component& component = model.components()[i];
    const Architecture* definition = component.definition.get();
    const bool built = definition != nullptr && definition->config_of;
    if (built) {
      WANLITE_ASSIGN_OR_RETURN(components[i].config_json, CatchTorch([&] {
                                 return definition->config_of(component.config_json,
                                                              *component.module);
                               }));
      components[i].resized = false;
    }
    absl::StatusOr<std::shared_ptr<torch::nn::Module>> module = CatchTorch([&] {
      return built ? BuiltTwin(component, components[i].config_json) : TwinTree(model, component);
    });
    if (!module.ok()) return Annotate(module.status(), "planning on a model in memory");
    components[i].module = *std::move(module);
  }
  return ModelView::Create(std::move(components));
}

}  // namespace wanlite
