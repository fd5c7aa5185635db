// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/runner/hollow_model.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/component_loader.h"
#include "src/checkpoint/confined_env.h"
#include "src/checkpoint/weight_files.h"
#include "src/core/libtorch.h"
#include "src/core/strict_json.h"
#include "src/runner/generate_settings.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

std::string ClassName(const nlohmann::json& config) {
  const std::string named = ClassNameOf(config);
  if (!named.empty() || !config.is_object()) return named;
  // A config that names no class: by the sizes that only one kind of config gives.
  const std::pair<const char*, std::vector<const char*>> kinds[] = {
      {"WanModel", {"dim", "ffn_dim", "num_heads", "num_layers"}},
      {"WanTransformer3DModel", {"num_attention_heads", "attention_head_dim", "ffn_dim"}},
      {"UMT5EncoderModel", {"d_model", "d_ff", "num_heads", "vocab_size"}},
      {"AutoencoderKLWan", {"base_dim", "z_dim", "dim_mult"}}};
  for (const auto& [name, keys] : kinds) {
    if (std::all_of(keys.begin(), keys.end(),
                    [&](const char* key) { return config.contains(key); })) {
      return name;
    }
  }
  return "";
}

// What weights of this network are usually stored in, unless its config says.
absl::StatusOr<at::ScalarType> StoredDtype(const nlohmann::json& config, ComponentRole role) {
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto found = config.find(key);
    if (found == config.end() || !found->is_string()) continue;
    const std::string name = found->get<std::string>();
    if (name == "float32") return at::kFloat;
    if (name == "bfloat16") return at::kBFloat16;
    if (name == "float16") return at::kHalf;
    return absl::InvalidArgumentError(
        absl::StrCat(key, " is '", name, "', known are float32, bfloat16, float16"));
  }
  return role == ComponentRole::kAutoencoder ? at::kFloat : at::kBFloat16;
}

// `name`: of the component; empty for the usual one of its role.
absl::StatusOr<Component> ComponentOfConfig(Env& env, const std::string& path, std::string name,
                                            const ArchitectureRegistry& architectures) {
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(path));
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(text, path));
  const std::string class_name = ClassName(json);
  const Architecture* architecture = architectures.Find(class_name);
  if (architecture == nullptr) {
    std::vector<std::string> known;
    for (const Architecture& one : architectures.architectures()) known.push_back(one.name);
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': class name is '", class_name,
                                                   "', known are: ", absl::StrJoin(known, ", ")));
  }
  const auto build = [&]() -> absl::StatusOr<Component> {
    WANLITE_ASSIGN_OR_RETURN(const at::ScalarType dtype, StoredDtype(json, architecture->role));
    WANLITE_ASSIGN_OR_RETURN(std::string config, architecture->normalize_config(text));
    const nn::HollowGuard hollow;
    WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<torch::nn::Module> module,
                             architecture->build(config));
    for (const at::Tensor& tensor : module->parameters()) {
      if (tensor.scalar_type() != dtype && tensor.is_floating_point()) {
        at::Tensor(tensor).set_data(nn::NewTensor(tensor.sizes(), dtype));
      }
    }
    if (name.empty()) name = RoleFolder(architecture->role);
    if (name.empty()) name = "model";
    return Component{std::move(name),    architecture->role,
                     architecture->name, std::move(config),
                     std::move(module),  std::make_shared<const Architecture>(*architecture)};
  };
  absl::StatusOr<Component> component = build();
  if (!component.ok()) return Annotate(component.status(), absl::StrCat("'", path, "'"));
  return component;
}

bool HasWeights(Env& env, const std::string& dir) {
  return HoldsWeights(env, dir) || env.FileExists(JoinPath(dir, "wanlite.json"));
}

// The configs of a folder that holds no weights at all; empty when it holds some, or no config.
absl::StatusOr<std::vector<Component>> ComponentsOfConfigs(
    Env& env, const std::string& dir, const ArchitectureRegistry& architectures) {
  std::vector<Component> components;
  if (HasWeights(env, dir)) return components;
  if (const std::string own = JoinPath(dir, "config.json"); env.FileExists(own)) {
    WANLITE_ASSIGN_OR_RETURN(Component component, ComponentOfConfig(env, own, "", architectures));
    components.push_back(std::move(component));
    return components;
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListVisible(env, dir));
  for (const std::string& name : names) {
    const std::string folder = JoinPath(dir, name);
    if (HasWeights(env, folder)) return std::vector<Component>();
    const std::string config = JoinPath(folder, "config.json");
    if (!env.FileExists(config)) continue;
    const std::string component_name = name == "high_noise_model"  ? "transformer"
                                       : name == "low_noise_model" ? "transformer_2"
                                                                   : name;
    WANLITE_ASSIGN_OR_RETURN(Component component,
                             ComponentOfConfig(env, config, component_name, architectures));
    components.push_back(std::move(component));
  }
  return components;
}

}  // namespace

absl::StatusOr<HollowModel> OpenHollow(Env& env, absl::string_view path, const OpenOptions& options,
                                       const ArchitectureRegistry& architectures) {
  std::vector<Component> components;
  if (env.FileExists(path) && !absl::EndsWith(path, ".safetensors")) {
    WANLITE_ASSIGN_OR_RETURN(Component component,
                             ComponentOfConfig(env, std::string(path), "", architectures));
    components.push_back(std::move(component));
  } else if (env.FolderExists(path)) {
    ConfinedEnv inside(env, path);
    WANLITE_ASSIGN_OR_RETURN(components,
                             ComponentsOfConfigs(inside, std::string(path), architectures));
  }
  if (!components.empty()) {
    WANLITE_ASSIGN_OR_RETURN(ModelView view, ModelView::Create(std::move(components)));
    HollowModel model{std::move(view), std::nullopt, "", ""};
    const std::string index = JoinPath(path, "model_index.json");
    if (env.FileExists(index)) {
      WANLITE_ASSIGN_OR_RETURN(model.model_index_json, env.ReadFile(index));
    }
    const std::string scheduler = JoinPath(path, "scheduler/scheduler_config.json");
    if (env.FileExists(scheduler)) {
      WANLITE_ASSIGN_OR_RETURN(model.scheduler_config_json, env.ReadFile(scheduler));
    }
    model.view.SetPipeline({model.model_index_json, model.scheduler_config_json});
    return model;
  }
  WANLITE_ASSIGN_OR_RETURN(ModelFolder folder,
                           ModelFolder::Open(env, path, options, architectures));
  WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
  std::string index = folder.model_index_json(), scheduler = folder.scheduler_config_json();
  return HollowModel{std::move(view), std::move(folder), std::move(index), std::move(scheduler)};
}

int64_t TextLength(const ModelView& model) {
  for (const Component& component : model.components()) {
    if (component.architecture != "WanTransformer3DModel") continue;
    const absl::StatusOr<wan::DitConfig> config = wan::ParseDitConfig(component.config_json);
    if (config.ok()) return config->text_len;
  }
  return wan::DitConfig().text_len;
}

absl::StatusOr<GenerateSettings> DefaultSettings(const HollowModel& model) {
  const bool two_experts = model.view.FindComponent("transformer_2") != nullptr;
  absl::StatusOr<FolderDefaults> defaults =
      ParseFolderDefaults(model.model_index_json, model.scheduler_config_json, two_experts);
  if (!defaults.ok()) return defaults.status();
  return std::move(defaults->settings);
}

}  // namespace wanlite
