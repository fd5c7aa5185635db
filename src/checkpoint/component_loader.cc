// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/component_loader.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/checkpoint/renamed_source.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/catch_torch.h"
#include "src/core/strict_json.h"
#include "src/model/dump.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// What other programs put in front of a transformer's names.
constexpr absl::string_view kForeignPrefix = "model.diffusion_model.";

std::string WithoutPrefix(absl::string_view name) {
  return std::string(absl::StripPrefix(name, kForeignPrefix));
}

std::vector<std::string> StrippedNames(const TensorSource& source) {
  std::vector<std::string> names;
  names.reserve(source.tensors().size());
  for (const TensorInfo& info : source.tensors()) names.push_back(WithoutPrefix(info.name));
  return names;
}

// One line of an error about many tensors.
std::string FirstFew(const std::vector<std::string>& items) {
  constexpr size_t kShown = 5;
  const size_t shown = std::min(items.size(), kShown);
  std::string text =
      absl::StrJoin(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  if (items.size() > shown) absl::StrAppend(&text, ", … (", items.size() - shown, " more)");
  return text;
}

std::string KnownArchitectures(const ArchitectureRegistry& registry) {
  return absl::StrJoin(registry.architectures(), ", ", [](std::string* out, const Architecture& a) {
    absl::StrAppend(out, a.name);
  });
}

std::string DiffusersName(const Architecture& architecture, const std::string& config,
                          const std::string& internal) {
  return architecture.to_diffusers ? architecture.to_diffusers(config, internal) : internal;
}

absl::StatusOr<std::string> Normalize(const Architecture& architecture, const std::string& config) {
  if (!architecture.normalize_config) return config;
  return CatchTorch([&] { return architecture.normalize_config(config); });
}

// How many of the names the module built from the config has, under either scheme.
int64_t CountKnownNames(const Architecture& architecture, const std::string& config,
                        const std::vector<std::string>& names) {
  const auto normal = Normalize(architecture, config);
  if (!normal.ok()) return 0;
  const auto module = BuildHollow(architecture, *normal, "");
  if (!module.ok()) return 0;
  std::set<std::string> known;
  for (const NamedTensor& named : ModuleTensors(**module)) {
    known.insert(named.name);
    known.insert(DiffusersName(architecture, *normal, named.name));
  }
  int64_t count = 0;
  for (const std::string& name : names) count += known.contains(name) ? 1 : 0;
  return count;
}

// Fills source, scheme and unexpected of `opened`.
absl::Status TranslateNames(const std::shared_ptr<const TensorSource>& raw,
                            const std::vector<NamedTensor>& module_tensors,
                            OpenedComponent* opened) {
  std::unordered_map<std::string, std::string> original;  // file name -> internal name
  std::unordered_map<std::string, std::string> diffusers;
  for (const NamedTensor& named : module_tensors) {
    original.emplace(named.name, named.name);
    const std::string foreign =
        DiffusersName(opened->architecture, opened->config_json, named.name);
    if (!diffusers.emplace(foreign, named.name).second) {
      return absl::InternalError(absl::StrCat(opened->architecture.name,
                                              ": two tensors have the diffusers name ", foreign));
    }
  }
  // Some names are in both schemes (with different meanings even), so the whole file decides.
  int64_t original_hits = 0;
  int64_t diffusers_hits = 0;
  for (const TensorInfo& info : raw->tensors()) {
    const std::string name = WithoutPrefix(info.name);
    original_hits += original.contains(name) ? 1 : 0;
    diffusers_hits += diffusers.contains(name) ? 1 : 0;
  }
  opened->scheme = original_hits == diffusers_hits  ? NameScheme::kSame
                   : original_hits > diffusers_hits ? NameScheme::kOriginal
                                                    : NameScheme::kDiffusers;
  const auto& table = original_hits > diffusers_hits ? original : diffusers;

  std::map<std::string, std::string> found;  // internal name -> name in the files
  std::vector<std::string> left;
  for (const TensorInfo& info : raw->tensors()) {
    const auto it = table.find(WithoutPrefix(info.name));
    if (it == table.end()) {
      left.push_back(info.name);
    } else if (const auto [at, is_new] = found.emplace(it->second, info.name); !is_new) {
      return absl::InvalidArgumentError(absl::StrCat(opened->where, ": tensors ",
                                                     QuoteName(at->second), " and ",
                                                     QuoteName(info.name), " are the same one"));
    }
  }
  const std::map<std::string, std::string> aliases(opened->architecture.foreign_aliases.begin(),
                                                   opened->architecture.foreign_aliases.end());
  for (const std::string& name : left) {
    const auto it = aliases.find(WithoutPrefix(name));
    if (it == aliases.end()) {
      opened->unexpected.push_back(name);
    } else if (!it->second.empty()) {
      found.emplace(it->second, name);  // a second copy of a tensor that is there loses
    }
  }
  std::vector<RenamedSource::Entry> entries;
  entries.reserve(found.size());
  for (const auto& [internal, name] : found) entries.push_back({internal, raw, name});
  WANLITE_ASSIGN_OR_RETURN(opened->source, RenamedSource::Create(std::move(entries)));
  return absl::OkStatus();
}

// Exchanges the weights of the linears that are not dense for hollow ones of their formats.
absl::Status ApplyFormats(const OpenedComponent& opened, torch::nn::Module& module) {
  std::map<std::string, nn::Linear*> linears;
  for (const auto& item : module.named_modules("", /*include_self=*/false)) {
    if (auto* linear = dynamic_cast<nn::Linear*>(item.value().get())) {
      linears[std::string(absl::StripPrefix(item.key(), "."))] = linear;
    }
  }
  for (const auto& [path, format] : opened.formats) {
    const auto linear = linears.find(path);
    if (linear == linears.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(opened.where, ": the manifest gives ", QuoteName(path), " the format ",
                       QuoteName(format.format), ", but the model has no such linear layer"));
    }
    std::map<std::string, at::Tensor> state;
    {
      const nn::HollowGuard hollow;
      for (const TensorInfo& info : opened.source->tensors()) {
        absl::string_view suffix = info.name;
        if (!absl::ConsumePrefix(&suffix, path) || !absl::ConsumePrefix(&suffix, ".") ||
            suffix == "bias" || absl::StrContains(suffix, ".")) {
          continue;
        }
        state[std::string(suffix)] = nn::NewTensor(info.shape, info.dtype);
      }
    }
    absl::StatusOr<std::unique_ptr<LinearWeight>> weight =
        CatchTorch([&] { return MakeLinearWeight(format.format, state, format.attributes_json); });
    if (!weight.ok()) return Annotate(weight.status(), absl::StrCat(opened.where, ": ", path));
    const absl::Status set =
        CatchTorch([&] { linear->second->SetWeight(*std::move(weight), /*resize=*/false); });
    // The message says both sizes; that they differ is the file's fault.
    if (!set.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(opened.where, ": ", path, ": ", set.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ConfigText> ReadConfig(Env& env, const std::string& path) {
  ConfigText config;
  config.path = path;
  WANLITE_ASSIGN_OR_RETURN(config.text, env.ReadFile(path));
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(config.text, path));
  const auto name = json.find("_class_name");
  const auto architectures = json.find("architectures");
  if (name != json.end() && name->is_string()) {
    config.class_name = name->get<std::string>();
  } else if (architectures != json.end() && architectures->is_array() && !architectures->empty() &&
             architectures->front().is_string()) {
    config.class_name = architectures->front().get<std::string>();
  }
  return config;
}

bool RecognizesNames(const Architecture& architecture, const TensorSource& source) {
  return architecture.recognizes && architecture.recognizes(StrippedNames(source));
}

absl::StatusOr<const Architecture*> ResolveArchitecture(const ComponentCandidate& candidate,
                                                        const ArchitectureRegistry& registry) {
  if (candidate.config.has_value() && !candidate.config->class_name.empty()) {
    const Architecture* found = registry.Find(candidate.config->class_name);
    if (found != nullptr) return found;
    return absl::UnimplementedError(absl::StrCat(
        candidate.config->path, " is for the class ", QuoteName(candidate.config->class_name),
        ", this build knows ", KnownArchitectures(registry)));
  }
  const std::vector<std::string> names = StrippedNames(*candidate.weights.source);
  for (const Architecture& architecture : registry.architectures()) {
    if (architecture.recognizes && architecture.recognizes(names)) return &architecture;
  }
  if (candidate.config.has_value()) {
    // A config that names no class: the one it builds a module for that has the names.
    const Architecture* best = nullptr;
    int64_t most = 0;
    for (const Architecture& architecture : registry.architectures()) {
      const int64_t known = CountKnownNames(architecture, candidate.config->text, names);
      if (known > most) {
        best = &architecture;
        most = known;
      }
    }
    if (best != nullptr && 2 * most > static_cast<int64_t>(names.size())) return best;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      candidate.where, ": cannot tell what network this is: ",
      candidate.config.has_value() ? absl::StrCat(candidate.config->path, " names no class")
                                   : "it has no config.json",
      " and its tensor names (",
      names.empty() ? "none" : absl::StrCat(QuoteName(names.front()), ", …"), ") are not those of ",
      KnownArchitectures(registry), "; give a config.json with \"_class_name\""));
}

absl::StatusOr<std::shared_ptr<torch::nn::Module>> BuildHollow(const Architecture& architecture,
                                                               const std::string& config_json,
                                                               const std::string& where) {
  const nn::HollowGuard hollow;
  absl::StatusOr<std::shared_ptr<torch::nn::Module>> module =
      CatchTorch([&] { return architecture.build(config_json); });
  if (!module.ok()) return where.empty() ? module.status() : Annotate(module.status(), where);
  if (*module == nullptr) {
    return absl::InternalError(absl::StrCat(architecture.name, ": build gave no module"));
  }
  return module;
}

std::vector<NamedTensor> ModuleTensors(const torch::nn::Module& module) {
  std::vector<NamedTensor> tensors;
  for (const auto& item : module.named_parameters(/*recurse=*/true)) {
    tensors.push_back({item.key(), item.value()});
  }
  for (const auto& item : module.named_buffers(/*recurse=*/true)) {
    tensors.push_back({item.key(), item.value()});
  }
  return tensors;
}

absl::StatusOr<OpenedComponent> LoadComponent(const ComponentCandidate& candidate,
                                              const Architecture& architecture, std::string name) {
  OpenedComponent opened;
  opened.name = std::move(name);
  opened.architecture = architecture;
  opened.where = candidate.where;
  opened.default_config = !candidate.config.has_value();
  absl::StatusOr<std::string> config =
      Normalize(architecture, candidate.config.has_value() ? candidate.config->text : "{}");
  if (!config.ok() && opened.default_config) {
    return absl::InvalidArgumentError(absl::StrCat(
        candidate.where, " holds a ", architecture.name, " but there is no config.json for it (",
        config.status().message(), "); give one with --config"));
  }
  if (!config.ok()) return Annotate(config.status(), candidate.config->path);
  opened.config_json = *std::move(config);
  const std::string config_name = opened.default_config
                                      ? absl::StrCat(candidate.where, " (default config)")
                                      : candidate.config->path;
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<torch::nn::Module> module,
                           BuildHollow(architecture, opened.config_json, config_name));
  WANLITE_RETURN_IF_ERROR(
      TranslateNames(candidate.weights.source, ModuleTensors(*module), &opened));
  return opened;
}

absl::StatusOr<Component> BuildComponent(const OpenedComponent& opened) {
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<torch::nn::Module> module,
                           BuildHollow(opened.architecture, opened.config_json, opened.where));
  WANLITE_RETURN_IF_ERROR(ApplyFormats(opened, *module));

  std::vector<std::string> missing;
  std::vector<std::string> wrong;
  std::vector<std::string> unexpected;
  for (const std::string& name : opened.unexpected) unexpected.push_back(QuoteName(name));
  std::set<std::string> wanted;
  const nn::HollowGuard hollow;
  const at::NoGradGuard no_grad;
  for (const NamedTensor& named : ModuleTensors(*module)) {
    wanted.insert(named.name);
    const TensorInfo* info = opened.source->Find(named.name);
    if (info == nullptr) {
      missing.push_back(named.name);
      continue;
    }
    if (named.tensor.sizes() != at::IntArrayRef(info->shape)) {
      wrong.push_back(absl::StrCat(named.name, " is ", ShapeText(info->shape),
                                   ", the config wants ", ShapeText(named.tensor.sizes())));
      continue;
    }
    const at::ScalarType dtype = named.tensor.scalar_type();
    if (dtype == info->dtype) continue;
    // A model runs in any of these; anything else needs a format that says what it means.
    const auto is_plain_float = [](at::ScalarType t) {
      return t == at::kFloat || t == at::kBFloat16 || t == at::kHalf || t == at::kDouble;
    };
    if (!is_plain_float(dtype) || !is_plain_float(info->dtype)) {
      wrong.push_back(
          absl::StrCat(named.name, " is ", DtypeName(info->dtype), ", wanted ",
                       is_plain_float(dtype) ? "fp32, bf16, fp16 or fp64" : DtypeName(dtype)));
      continue;
    }
    WANLITE_RETURN_IF_ERROR(
        CatchTorch([&] { named.tensor.set_data(nn::NewTensor(info->shape, info->dtype)); }));
  }
  for (const TensorInfo& info : opened.source->tensors()) {
    if (!wanted.contains(info.name)) unexpected.push_back(QuoteName(info.name));
  }
  if (!missing.empty() || !wrong.empty() || !unexpected.empty()) {
    std::vector<std::string> parts;
    if (!missing.empty()) {
      parts.push_back(absl::StrCat(missing.size(), " missing: ", FirstFew(missing)));
    }
    if (!unexpected.empty()) {
      parts.push_back(absl::StrCat(unexpected.size(), " unexpected: ", FirstFew(unexpected)));
    }
    if (!wrong.empty()) parts.push_back(absl::StrCat(wrong.size(), " wrong: ", FirstFew(wrong)));
    return absl::InvalidArgumentError(absl::StrCat(
        opened.where, ": the tensors are not those of a ", opened.architecture.name,
        opened.default_config
            ? " with the default config (no config.json was found; give one with --config)"
            : " with this config",
        ": ", absl::StrJoin(parts, "; ")));
  }
  Component component;
  component.name = opened.name;
  component.role = opened.architecture.role;
  component.architecture = opened.architecture.name;
  component.config_json = opened.config_json;
  component.module = std::move(module);
  component.config_of = opened.architecture.config_of;
  return component;
}

}  // namespace wanlite
