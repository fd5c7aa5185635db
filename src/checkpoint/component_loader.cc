// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/component_loader.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/strict_json.h"
#include "src/model/derived_source.h"
#include "src/model/dump.h"
#include "src/model/tensor_text.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// What other programs put in front of a transformer's names, in files that may hold other networks.
constexpr absl::string_view kForeignPrefix = "model.diffusion_model.";

std::vector<std::string> NamesOf(const TensorSource& source) {
  std::vector<std::string> names;
  names.reserve(source.tensors().size());
  for (const TensorInfo& info : source.tensors()) names.push_back(info.name);
  return names;
}

// "module." when all names begin so: what wrappers of a network leave in its files.
std::string CommonPrefix(const std::vector<std::string>& names) {
  if (names.size() < 2) return "";
  absl::string_view common = names.front();
  for (const std::string& name : names) {
    size_t same = 0;
    while (same < common.size() && same < name.size() && common[same] == name[same]) ++same;
    common = common.substr(0, same);
  }
  const size_t dot = common.rfind('.');
  return dot == absl::string_view::npos ? "" : std::string(common.substr(0, dot + 1));
}

std::vector<std::string> WithoutPrefix(std::vector<std::string> names, absl::string_view prefix) {
  for (std::string& name : names) name = std::string(absl::StripPrefix(name, prefix));
  return names;
}

// The prefix without which `fits` knows the names; nullopt when it knows them in no form.
template <typename Fits>
std::optional<std::string> PrefixThatFits(const std::vector<std::string>& names, const Fits& fits) {
  for (const std::string& prefix :
       {std::string(), std::string(kForeignPrefix), CommonPrefix(names)}) {
    if (fits(WithoutPrefix(names, prefix))) return prefix;
  }
  return std::nullopt;
}

std::vector<std::string> Quoted(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back(QuoteName(name));
  return quoted;
}

std::string KnownArchitectures(const ArchitectureRegistry& registry) {
  return absl::StrJoin(registry.architectures(), ", ", [](std::string* out, const Architecture& a) {
    absl::StrAppend(out, a.name);
  });
}

absl::StatusOr<std::string> Normalize(const Architecture& architecture, const std::string& config) {
  if (!architecture.normalize_config) return config;
  return CatchTorch([&] { return architecture.normalize_config(config); });
}

// How many of the names the module built from the config has, under either scheme.
int64_t CountKnownNames(const Architecture& architecture, const std::string& config,
                        const std::vector<std::string>& file_names) {
  const std::vector<std::string> names = WithoutPrefix(file_names, kForeignPrefix);
  const auto normal = Normalize(architecture, config);
  if (!normal.ok()) return 0;
  const auto module = BuildHollow(architecture, *normal, "");
  const auto foreign = ForeignNames(architecture, *normal);
  if (!module.ok() || !foreign.ok()) return 0;
  std::set<std::string> known;
  for (const NamedTensor& named : ModuleTensors(**module)) {
    known.insert(named.name);
    known.insert((*foreign)(named.name));
  }
  int64_t count = 0;
  for (const std::string& name : names) count += known.contains(name) ? 1 : 0;
  return count;
}

// Fills source, scheme, unexpected and notes of `opened`.
absl::Status TranslateNames(const std::shared_ptr<const TensorSource>& raw,
                            const std::vector<NamedTensor>& module_tensors,
                            OpenedComponent* opened) {
  std::unordered_map<std::string, std::string> original;  // file name -> internal name
  std::unordered_map<std::string, std::string> diffusers;
  WANLITE_ASSIGN_OR_RETURN(const TensorNames foreign_name,
                           ForeignNames(opened->architecture, opened->config_json));
  for (const NamedTensor& named : module_tensors) {
    original.emplace(named.name, named.name);
    const std::string foreign = foreign_name(named.name);
    if (!diffusers.emplace(foreign, named.name).second) {
      return absl::InternalError(absl::StrCat(opened->architecture.name,
                                              ": two tensors have the diffusers name ", foreign));
    }
  }
  const std::vector<std::string> names = NamesOf(*raw);
  const std::string prefix =
      PrefixThatFits(names, [&](const std::vector<std::string>& stripped) {
        return std::any_of(stripped.begin(), stripped.end(), [&](const std::string& name) {
          return original.contains(name) || diffusers.contains(name);
        });
      }).value_or("");
  if (!prefix.empty()) {
    opened->notes.push_back(
        absl::StrCat(opened->where, ": ", QuoteName(prefix), " is taken off its tensors' names"));
  }
  const auto bare = [&](const std::string& name) {
    return std::string(absl::StripPrefix(name, prefix));
  };
  // Some names are in both schemes (with different meanings even), so the whole file decides.
  std::vector<std::string> original_only, diffusers_only;
  for (const std::string& name : names) {
    const bool in_original = original.contains(bare(name));
    const bool in_diffusers = diffusers.contains(bare(name));
    if (in_original && !in_diffusers) original_only.push_back(QuoteName(name));
    if (in_diffusers && !in_original) diffusers_only.push_back(QuoteName(name));
  }
  if (!original_only.empty() && !diffusers_only.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(opened->where, ": the names are half converted: ", original_only.size(),
                     " original (", original_only.front(), ", …) and ", diffusers_only.size(),
                     " of diffusers (", diffusers_only.front(), ", …); wanted one scheme for all"));
  }
  opened->scheme = original_only.empty() && diffusers_only.empty() ? NameScheme::kSame
                   : diffusers_only.empty()                        ? NameScheme::kOriginal
                                                                   : NameScheme::kDiffusers;
  const auto& table = diffusers_only.empty() ? original : diffusers;

  std::map<std::string, std::string> found;  // internal name -> name in the files
  std::vector<std::string> left;
  for (const std::string& name : names) {
    const auto it = table.find(bare(name));
    if (it == table.end()) {
      left.push_back(name);
    } else if (const auto [at, is_new] = found.emplace(it->second, name); !is_new) {
      return absl::InvalidArgumentError(absl::StrCat(opened->where, ": tensors ",
                                                     QuoteName(at->second), " and ",
                                                     QuoteName(name), " are the same one"));
    }
  }
  const std::map<std::string, std::string> aliases(opened->architecture.foreign_aliases.begin(),
                                                   opened->architecture.foreign_aliases.end());
  for (const std::string& name : left) {
    const auto it = aliases.find(bare(name));
    if (it == aliases.end()) {
      opened->unexpected.push_back(name);
    } else if (!it->second.empty()) {
      found.emplace(it->second, name);  // a second copy of a tensor that is there loses
    }
  }
  std::vector<DerivedSource::Entry> entries;
  entries.reserve(found.size());
  for (const auto& [internal, name] : found)
    entries.push_back(DerivedSource::Renamed(internal, raw, name));
  WANLITE_ASSIGN_OR_RETURN(opened->source, DerivedSource::Create(std::move(entries)));
  return absl::OkStatus();
}

// Exchanges the weights of the linears that are not dense for hollow ones of their formats.
absl::Status ApplyFormats(const OpenedComponent& opened, const WeightFormatRegistry& formats,
                          torch::nn::Module& module) {
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
        formats.Build(format.format, state, format.attributes_json);
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

std::string RoleFolder(ComponentRole role) {
  switch (role) {
    case ComponentRole::kDenoiser:
      return "transformer";
    case ComponentRole::kTextEncoder:
      return "text_encoder";
    case ComponentRole::kAutoencoder:
      return "vae";
    case ComponentRole::kOther:
      return "";
  }
  return "";
}

std::string ClassNameOf(const nlohmann::json& config) {
  if (!config.is_object()) return "";
  if (const auto name = config.find("_class_name"); name != config.end() && name->is_string()) {
    return name->get<std::string>();
  }
  const auto list = config.find("architectures");
  if (list != config.end() && list->is_array() && !list->empty() && list->front().is_string()) {
    return list->front().get<std::string>();
  }
  return "";
}

absl::StatusOr<ConfigText> ReadConfig(Env& env, const std::string& path) {
  ConfigText config;
  config.path = path;
  WANLITE_ASSIGN_OR_RETURN(config.text, env.ReadFile(path));
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(config.text, path));
  const auto name = json.find("_class_name");
  if (name != json.end() && !name->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": _class_name is ", name->type_name(), ", wanted a string"));
  }
  config.class_name = ClassNameOf(json);
  return config;
}

const Architecture* RecognizeNames(const TensorSource& source,
                                   const ArchitectureRegistry& registry) {
  const std::vector<std::string> names = NamesOf(source);
  for (const Architecture& architecture : registry.architectures()) {
    if (architecture.recognizes && PrefixThatFits(names, architecture.recognizes)) {
      return &architecture;
    }
  }
  return nullptr;
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
  const Architecture* recognized = RecognizeNames(*candidate.weights.source, registry);
  if (recognized != nullptr) return recognized;
  const std::vector<std::string> names = NamesOf(*candidate.weights.source);
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

absl::StatusOr<TensorNames> ForeignNames(const Architecture& architecture,
                                         const std::string& config_json) {
  if (!architecture.names) return TensorNames([](const std::string& name) { return name; });
  return CatchTorch([&] { return architecture.names(config_json); });
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

namespace {

// Fills the config of a component that has none, by its tensors' shapes or as the network is
// published.
absl::Status AssumeConfig(const ComponentCandidate& candidate, const Architecture& architecture,
                          OpenedComponent* opened) {
  opened->default_config = true;
  absl::StatusOr<std::string> config = std::string("{}");
  if (architecture.config_of_shapes) {
    const std::vector<std::string> names = NamesOf(*candidate.weights.source);
    const std::string prefix = architecture.recognizes
                                   ? PrefixThatFits(names, architecture.recognizes).value_or("")
                                   : std::string();
    TensorShapes shapes;
    for (const TensorInfo& info : candidate.weights.source->tensors()) {
      shapes[std::string(absl::StripPrefix(info.name, prefix))] = info.shape;
    }
    config = CatchTorch([&] { return architecture.config_of_shapes(shapes); });
  }
  if (config.ok()) config = Normalize(architecture, *config);
  if (!config.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        candidate.where, " holds a ", architecture.name, " but there is no config.json for it (",
        config.status().message(), "); put one beside it, or give one with --config"));
  }
  opened->config_json = *std::move(config);
  opened->notes.push_back(absl::StrCat(candidate.where, " has no config.json: ",
                                       architecture.config_of_shapes
                                           ? "its sizes are those of its tensors, the rest is "
                                           : "its sizes are ",
                                       "as ", architecture.name, " is published"));
  return absl::OkStatus();
}

// What the architecture makes of a config that is there.
absl::Status UseConfig(const ConfigText& given, const Architecture& architecture,
                       OpenedComponent* opened) {
  if (!architecture.config_keys.empty()) {
    const std::set<std::string> known(architecture.config_keys.begin(),
                                      architecture.config_keys.end());
    WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(given.text, given.path));
    std::vector<std::string> unknown;
    bool any_known = false;
    for (const auto& [key, value] : json.items()) {
      if (known.contains(key)) {
        any_known = true;
      } else if (!absl::StartsWith(key, "_")) {
        unknown.push_back(QuoteName(key));
      }
    }
    // Its defaults must not stand for what it says in words that are not understood.
    if (given.class_name.empty() && !any_known) {
      return absl::InvalidArgumentError(
          absl::StrCat(given.path, " names no class and has no field of a ", architecture.name,
                       unknown.empty() ? "" : absl::StrCat(", only ", JoinFew(unknown))));
    }
    if (!unknown.empty()) {
      opened->notes.push_back(
          absl::StrCat(given.path, ": not known and passed over: ", JoinFew(unknown)));
    }
  }
  absl::StatusOr<std::string> config = Normalize(architecture, given.text);
  if (!config.ok()) return Annotate(config.status(), given.path);
  opened->config_json = *std::move(config);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OpenedComponent> LoadComponent(const ComponentCandidate& candidate,
                                              const Architecture& architecture, std::string name) {
  OpenedComponent opened;
  opened.name = std::move(name);
  opened.architecture = architecture;
  opened.where = candidate.where;
  opened.given_config = candidate.config.has_value() && candidate.config->given;
  WANLITE_RETURN_IF_ERROR(candidate.config.has_value()
                              ? UseConfig(*candidate.config, architecture, &opened)
                              : AssumeConfig(candidate, architecture, &opened));
  const std::string config_name = opened.default_config
                                      ? absl::StrCat(candidate.where, " (default config)")
                                      : candidate.config->path;
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<torch::nn::Module> module,
                           BuildHollow(architecture, opened.config_json, config_name));
  WANLITE_RETURN_IF_ERROR(
      TranslateNames(candidate.weights.source, ModuleTensors(*module), &opened));
  return opened;
}

absl::StatusOr<Component> BuildComponent(const OpenedComponent& opened,
                                         const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<torch::nn::Module> module,
                           BuildHollow(opened.architecture, opened.config_json, opened.where));
  WANLITE_RETURN_IF_ERROR(ApplyFormats(opened, formats, *module));

  std::vector<std::string> missing;
  std::vector<std::string> wrong;
  std::vector<std::string> unexpected = Quoted(opened.unexpected);
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
      parts.push_back(absl::StrCat(missing.size(), " missing: ", JoinFew(missing)));
    }
    if (!unexpected.empty()) {
      parts.push_back(absl::StrCat(unexpected.size(), " unexpected: ", JoinFew(unexpected)));
    }
    if (!wrong.empty()) parts.push_back(absl::StrCat(wrong.size(), " wrong: ", JoinFew(wrong)));
    return absl::InvalidArgumentError(absl::StrCat(
        opened.where, ": the tensors are not those of a ", opened.architecture.name,
        opened.default_config
            ? " with the published sizes (no config.json was found; put one beside it, or give one "
              "with --config)"
            : " with this config",
        ": ", absl::StrJoin(parts, "; ")));
  }
  Component component;
  component.name = opened.name;
  component.role = opened.architecture.role;
  component.architecture = opened.architecture.name;
  component.config_json = opened.config_json;
  component.module = std::move(module);
  component.definition = std::make_shared<const Architecture>(opened.architecture);
  component.block_origin = opened.block_origin;
  component.unit_origin = opened.unit_origin;
  return component;
}

}  // namespace wanlite
