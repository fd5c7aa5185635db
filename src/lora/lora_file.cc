// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/lora/lora_file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/catch_torch.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/core/strict_json.h"
#include "src/lora/lora_names.h"
#include "src/lora/lora_set.h"
#include "src/model/tensor_text.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

constexpr size_t kNamesShown = 3;

// What a file says of one of its layers: names of tensors in the file by part.
struct LoraLayer {
  std::string network;  // as LoraName::network
  std::string layer;    // as LoraName::layer
  std::map<LoraPart, std::string> parts;
};

// Sorted by network and name.
absl::StatusOr<std::vector<LoraLayer>> LayersOf(const LoraFile& file, const ModelView& model) {
  std::vector<std::string> components;
  for (const Component& component : model.components()) components.push_back(component.name);
  std::map<std::pair<std::string, std::string>, LoraLayer> layers;
  for (const TensorInfo& info : file.file->tensors()) {
    WANLITE_ASSIGN_OR_RETURN(const LoraName name, ParseLoraName(info.name, components));
    LoraLayer& layer = layers[{name.network, name.layer}];
    layer.network = name.network;
    layer.layer = name.layer;
    const auto [entry, added] = layer.parts.emplace(name.part, info.name);
    if (!added) {
      return absl::InvalidArgumentError(absl::StrCat(QuoteName(entry->second), " and ",
                                                     QuoteName(info.name),
                                                     " are the same part of the same layer"));
    }
  }
  if (layers.empty()) return absl::InvalidArgumentError("it holds no tensors");
  std::vector<LoraLayer> sorted;
  for (auto& [key, layer] : layers) sorted.push_back(std::move(layer));
  return sorted;
}

std::string Shown(const std::vector<std::string>& names) {
  std::vector<std::string> first(names.begin(),
                                 names.begin() + std::min(names.size(), kNamesShown));
  for (std::string& name : first) name = QuoteName(name);
  return absl::StrCat(absl::StrJoin(first, ", "), names.size() > kNamesShown ? ", …" : "");
}

std::string InfoText(const TensorInfo& info) {
  return absl::StrCat(c10::toString(info.dtype), " ", ShapeText(info.shape));
}

// Numbers by names: {"blocks.0.attn1.to_q": 8}.
absl::Status ReadPattern(const nlohmann::json& json, const std::string& key,
                         std::map<std::string, double>& out) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return absl::OkStatus();
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(key, " ", what));
  };
  if (!found->is_object()) return bad("is no object");
  for (const auto& [name, value] : found->items()) {
    if (!value.is_number()) return bad(absl::StrCat("has no number for ", QuoteName(name)));
    if (name.find_first_of("*+?[](){}^$|\\") != std::string::npos) {
      return absl::UnimplementedError(absl::StrCat(key, " has the regular expression ",
                                                   QuoteName(name), ", names alone are read"));
    }
    out[name] = value.get<double>();
  }
  return absl::OkStatus();
}

// PEFT's LoraConfig, as far as it says what B A is multiplied by. `prefix`: of its keys.
absl::Status ReadPeftConfig(const nlohmann::json& json, const std::string& prefix, LoraFile& file) {
  const auto alpha = json.find(prefix + "lora_alpha");
  if (alpha != json.end() && !alpha->is_null()) {
    if (!alpha->is_number()) return absl::InvalidArgumentError("lora_alpha is no number");
    file.alpha = alpha->get<double>();
  }
  const auto flag = [&](const char* name) {
    const auto found = json.find(prefix + name);
    return found != json.end() && found->is_boolean() && found->get<bool>();
  };
  if (flag("use_dora")) return absl::UnimplementedError("use_dora: DoRA is not read, LoRA alone");
  file.rank_stabilized = flag("use_rslora");
  return ReadPattern(json, prefix + "alpha_pattern", file.alphas);
}

absl::Status ReadMetadata(Env& env, LoraFile& file) {
  const auto& metadata = file.file->metadata();
  if (const auto own = metadata.find(kLoraComponentKey); own != metadata.end()) {
    file.component = own->second;
  }
  if (const auto diffusers = metadata.find(kLoraAdapterMetadataKey); diffusers != metadata.end()) {
    WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json,
                             ParseStrictJson(diffusers->second, kLoraAdapterMetadataKey));
    if (!json.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(kLoraAdapterMetadataKey, " is no object"));
    }
    // diffusers puts the name of the network before each key.
    std::string prefix;
    for (const auto& [key, value] : json.items()) {
      for (const char* ending : {".lora_alpha", ".r", ".use_dora", ".use_rslora"}) {
        if (!absl::EndsWith(key, ending)) continue;
        const std::string found = key.substr(0, key.size() - std::string(ending).size() + 1);
        if (!prefix.empty() && found != prefix) {
          return absl::UnimplementedError(absl::StrCat(
              kLoraAdapterMetadataKey, " speaks of several networks: ", prefix, " and ", found));
        }
        prefix = found;
      }
    }
    return Annotate(ReadPeftConfig(json, prefix, file), kLoraAdapterMetadataKey);
  }
  if (Basename(file.spec.path) != "adapter_model.safetensors") return absl::OkStatus();
  const std::string beside = JoinPath(Dirname(file.spec.path), "adapter_config.json");
  if (!env.FileExists(beside)) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json, ReadStrictJson(env, beside));
  return Annotate(ReadPeftConfig(json, "", file), beside);
}

// Which components a layer of the file goes to. `network`: of its name.
class Destinations {
 public:
  static absl::StatusOr<Destinations> Of(const LoraFile& file, const std::vector<LoraLayer>& layers,
                                         const ModelView& model) {
    Destinations of;
    std::vector<std::string> denoisers, all;
    for (const Component& component : model.components()) {
      all.push_back(component.name);
      if (component.role == ComponentRole::kDenoiser) denoisers.push_back(component.name);
    }
    if (denoisers.empty()) denoisers = all;
    const auto named = [&](const std::string& network) -> absl::StatusOr<std::string> {
      if (network == kHighNoiseHint || network == kLowNoiseHint) {
        if (denoisers.size() == 2) return denoisers[network == kLowNoiseHint];
        return absl::InvalidArgumentError(
            absl::StrCat("it is for a ", network, " expert, and the model has ", denoisers.size(),
                         denoisers.size() == 1 ? " denoiser" : " denoisers",
                         "; say by its component which it is for"));
      }
      if (std::find(all.begin(), all.end(), network) != all.end()) return network;
      return absl::InvalidArgumentError(absl::StrCat(
          "it is for ", QuoteName(network), ", and the model has ", absl::StrJoin(all, ", ")));
    };
    std::set<std::string> networks;
    for (const LoraLayer& layer : layers) networks.insert(layer.network);
    const std::string& wanted = file.spec.component;
    const bool split = networks.size() > 1;
    if (split && networks.contains("")) {
      return absl::InvalidArgumentError(
          "some of its names say by a prefix which network they are for, and some do not");
    }
    if (split) {
      for (const std::string& network : networks) {
        WANLITE_ASSIGN_OR_RETURN(const std::string component, named(network));
        if (wanted.empty() || GlobMatch(wanted, component)) of.of_[network] = {component};
      }
    } else {
      const std::string network = networks.empty() ? "" : *networks.begin();
      std::vector<std::string>& to = of.of_[network];
      const std::string hint = NoiseHintOf(Basename(file.spec.path));
      if (!wanted.empty()) {
        for (const std::string& component : denoisers) {
          if (GlobMatch(wanted, component)) to.push_back(component);
        }
      } else if (network == kHighNoiseHint || network == kLowNoiseHint) {
        WANLITE_ASSIGN_OR_RETURN(to.emplace_back(), named(network));
      } else if (std::find(denoisers.begin(), denoisers.end(), file.component) != denoisers.end()) {
        to.push_back(file.component);
      } else if (!hint.empty() && denoisers.size() == 2) {
        WANLITE_ASSIGN_OR_RETURN(to.emplace_back(), named(hint));
      } else if (denoisers.size() == 1) {
        // Prefixes say "transformer" whichever network of a model it is.
        to.push_back(denoisers.front());
      } else if (!network.empty() && network != denoisers.front()) {
        WANLITE_ASSIGN_OR_RETURN(to.emplace_back(), named(network));
      } else {
        return absl::InvalidArgumentError(absl::StrCat(
            "nothing says which of ", absl::StrJoin(denoisers, ", "),
            " it is for, neither its names nor its own name; give its component, or * for each"));
      }
    }
    if (of.of_.empty() || std::any_of(of.of_.begin(), of.of_.end(),
                                      [](const auto& entry) { return entry.second.empty(); })) {
      return absl::InvalidArgumentError(absl::StrCat("the component \"", wanted, "\" fits none of ",
                                                     absl::StrJoin(split ? all : denoisers, ", "),
                                                     " that the file is for"));
    }
    return of;
  }

  const std::vector<std::string>& operator[](const std::string& network) const {
    static const std::vector<std::string>& none = *new std::vector<std::string>;
    const auto found = of_.find(network);
    return found == of_.end() ? none : found->second;
  }

 private:
  std::map<std::string, std::vector<std::string>> of_;
};

// One file against the model.
class Fitting {
 public:
  Fitting(const LoraFile& file, size_t number, const ModelView& model, LoraSet::Rep& rep)
      : file_(file), number_(number), model_(model), rep_(rep) {}

  absl::Status Run() {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<LoraLayer> layers, LayersOf(file_, model_));
    WANLITE_ASSIGN_OR_RETURN(const Destinations destinations,
                             Destinations::Of(file_, layers, model_));
    std::map<std::string, LayerNames> names;
    for (const LoraLayer& layer : layers) {
      for (const std::string& component : destinations[layer.network]) {
        if (!names.contains(component)) {
          WANLITE_ASSIGN_OR_RETURN(LayerNames of,
                                   LayerNames::Of(model_, *model_.FindComponent(component)));
          names.emplace(component, std::move(of));
        }
        WANLITE_RETURN_IF_ERROR(AddLayer(layer, names.at(component)));
        used_.insert(component);
      }
    }
    if (!unknown_.empty() && !file_.spec.skip_unknown) {
      return absl::InvalidArgumentError(absl::StrCat(
          unknown_.size(), " of its ", layers.size(), " layers are none of the model's: ",
          Shown(unknown_), "; it is for another model (skip_unknown leaves them out)"));
    }
    if (branches_ + differences_ == 0) {
      return absl::InvalidArgumentError("it changes nothing of the model");
    }
    std::vector<std::string> parts;
    if (branches_ > 0) {
      parts.push_back(absl::StrCat(branches_, branches_ == 1 ? " layer" : " layers", " of rank ",
                                   least_rank_ == largest_rank_
                                       ? absl::StrCat(least_rank_)
                                       : absl::StrCat(least_rank_, " to ", largest_rank_)));
    }
    if (differences_ > 0) {
      parts.push_back(
          absl::StrCat(differences_, differences_ == 1 ? " tensor changed" : " tensors changed"));
    }
    if (!unknown_.empty()) {
      parts.push_back(absl::StrCat(unknown_.size(), " layers that the model has not left out"));
    }
    rep_.described.push_back(absl::StrCat(
        file_.spec.path, ": adapter ", file_.spec.adapter, " of strength ", file_.spec.strength,
        " for ", absl::StrJoin(used_, ", "), ", ", absl::StrJoin(parts, ", ")));
    return absl::OkStatus();
  }

 private:
  const TensorInfo& Info(const std::string& name) const { return *file_.file->Find(name); }

  // OK for a tensor that can be a part of an adapter.
  absl::Status CheckDtype(const std::string& name) const {
    const at::ScalarType dtype = Info(name).dtype;
    if (dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat(QuoteName(name), " is ", InfoText(Info(name)), ", wanted fp32, bf16 or fp16"));
  }

  absl::StatusOr<double> AlphaOf(const LoraLayer& layer, int64_t rank) const {
    const auto own = layer.parts.find(LoraPart::kAlpha);
    if (own == layer.parts.end()) return file_.AlphaOf(layer.layer, rank);
    const TensorInfo& info = Info(own->second);
    if (info.shape.size() > 1 || (info.shape.size() == 1 && info.shape[0] != 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat(QuoteName(own->second), " is ", InfoText(info), ", wanted one number"));
    }
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, file_.file->Read(own->second));
    return CatchTorch([&] { return value.to(at::kDouble).item<double>(); });
  }

  absl::Status AddLayer(const LoraLayer& layer, const LayerNames& names) {
    const auto part = [&](LoraPart of) -> const std::string* {
      const auto found = layer.parts.find(of);
      return found == layer.parts.end() ? nullptr : &found->second;
    };
    const std::string *a = part(LoraPart::kA), *b = part(LoraPart::kB);
    const std::string* any = &layer.parts.begin()->second;
    WANLITE_ASSIGN_OR_RETURN(const std::string linear, names.Linear(layer.layer));
    bool known = true;
    double scale = 1;  // of the branch
    if (a != nullptr || b != nullptr) {
      if (a == nullptr || b == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("layer ", QuoteName(layer.layer), " has ",
                                                       QuoteName(*any), " without its other half"));
      }
      WANLITE_ASSIGN_OR_RETURN(const std::string tensor,
                               names.Tensor(absl::StrCat(layer.layer, ".weight")));
      if (linear.empty() && !tensor.empty()) {
        return absl::UnimplementedError(
            absl::StrCat(QuoteName(*a), " is a branch of ", tensor, ", which is no linear layer"));
      }
      if (linear.empty()) {
        known = false;
      } else {
        WANLITE_RETURN_IF_ERROR(AddBranch(layer, linear, *a, *b, scale));
      }
    } else if (part(LoraPart::kAlpha) != nullptr || part(LoraPart::kBiasOfB) != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(QuoteName(*any), " has no lora_down and lora_up beside it"));
    }
    if (const std::string* difference = part(LoraPart::kDifference); difference != nullptr) {
      std::string tensor;
      if (linear.empty()) {
        WANLITE_ASSIGN_OR_RETURN(tensor, names.Tensor(absl::StrCat(layer.layer, ".weight")));
        if (tensor.empty()) {
          WANLITE_ASSIGN_OR_RETURN(tensor, names.Tensor(layer.layer));
        }
        known = known && !tensor.empty();
      }
      if (!linear.empty() || !tensor.empty()) {
        WANLITE_RETURN_IF_ERROR(
            AddDifference(linear, tensor, *difference, LoraPart::kDifference, 1));
      }
    }
    const std::pair<LoraPart, const char*> vectors[] = {{LoraPart::kBiasDifference, ".bias"},
                                                        {LoraPart::kBiasOfB, ".bias"},
                                                        {LoraPart::kModulation, ".modulation"}};
    for (const auto& [of, ending] : vectors) {
      const std::string* difference = part(of);
      if (difference == nullptr) continue;
      WANLITE_ASSIGN_OR_RETURN(const std::string tensor,
                               names.Tensor(absl::StrCat(layer.layer, ending)));
      if (!tensor.empty()) {
        WANLITE_RETURN_IF_ERROR(
            AddDifference("", tensor, *difference, of, of == LoraPart::kBiasOfB ? scale : 1));
      } else if (!linear.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            QuoteName(*difference), " changes the bias of ", linear, ", which has none"));
      } else {
        known = false;
      }
    }
    if (!known) unknown_.push_back(layer.layer);
    return absl::OkStatus();
  }

  absl::Status AddBranch(const LoraLayer& layer, const std::string& linear, const std::string& a,
                         const std::string& b, double& scale) {
    WANLITE_RETURN_IF_ERROR(CheckDtype(a));
    WANLITE_RETURN_IF_ERROR(CheckDtype(b));
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model_.Weight(linear));
    const TensorInfo &down = Info(a), &up = Info(b);
    const int64_t in = weight->in_features(), out = weight->out_features();
    if (down.shape.size() != 2 || up.shape.size() != 2 || down.shape[0] < 1 ||
        down.shape[0] != up.shape[1] || down.shape[1] != in || up.shape[0] != out ||
        down.dtype != up.dtype) {
      return absl::InvalidArgumentError(
          absl::StrCat(QuoteName(a), " is ", InfoText(down), " and ", QuoteName(b), " ",
                       InfoText(up), ", but the layer ", linear, " is [", out, ", ", in,
                       "]: wanted are [rank, ", in, "] and [", out, ", rank] of one dtype"));
    }
    const int64_t rank = down.shape[0];
    WANLITE_ASSIGN_OR_RETURN(const double alpha, AlphaOf(layer, rank));
    if (!std::isfinite(alpha)) {
      return absl::InvalidArgumentError(absl::StrCat("alpha of ", layer.layer, " is ", alpha));
    }
    scale = alpha / static_cast<double>(rank);
    LoraSet::Rep::LinearChange& change = rep_.linears[linear];
    for (const auto& other : change.branches) {
      if (other.file != number_) continue;
      return absl::InvalidArgumentError(absl::StrCat(QuoteName(other.a), " and ", QuoteName(a),
                                                     " are both for the layer ", linear));
    }
    change.branches.push_back({number_, a, b, alpha, file_.spec.strength, rank, down.dtype});
    ++branches_;
    least_rank_ = branches_ == 1 ? rank : std::min(least_rank_, rank);
    largest_rank_ = std::max(largest_rank_, rank);
    return absl::OkStatus();
  }

  // Of the matrix of a linear, or of a tensor.
  absl::Status AddDifference(const std::string& linear, const std::string& tensor,
                             const std::string& name, LoraPart of, double scale) {
    WANLITE_RETURN_IF_ERROR(CheckDtype(name));
    std::vector<int64_t> wanted;
    const std::string& what = linear.empty() ? tensor : linear;
    if (!linear.empty()) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model_.Weight(linear));
      wanted = {weight->out_features(), weight->in_features()};
      if (LoraBase(*weight).dense() == nullptr) {
        return absl::FailedPreconditionError(absl::StrCat(
            QuoteName(name), " is a difference of the whole matrix of ", linear,
            ", which is stored as ", std::string(LoraBase(*weight).format()),
            " and cannot take it: load the file into the dense model, and quantize that"));
      }
    } else {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, model_.FindTensor(tensor));
      wanted = value.sizes().vec();
      if (!value.is_floating_point()) {
        return absl::InvalidArgumentError(absl::StrCat(QuoteName(name), " is a difference of ",
                                                       tensor, ", which is ", TensorText(value),
                                                       " and no floating tensor"));
      }
    }
    if (Info(name).shape != wanted) {
      return absl::InvalidArgumentError(absl::StrCat(QuoteName(name), " is ", InfoText(Info(name)),
                                                     ", but ", what, " is ", ShapeText(wanted)));
    }
    if (!differs_.emplace(what, of).second) {
      return absl::InvalidArgumentError(absl::StrCat(QuoteName(name), " changes ", what,
                                                     ", which another name of the file does too"));
    }
    std::vector<LoraSet::Rep::Difference>& differences =
        linear.empty() ? rep_.tensors[tensor] : rep_.linears[linear].differences;
    differences.push_back({number_, name, scale * file_.spec.strength});
    ++differences_;
    return absl::OkStatus();
  }

  const LoraFile& file_;
  const size_t number_;
  const ModelView& model_;
  LoraSet::Rep& rep_;
  std::vector<std::string> unknown_;
  std::set<std::string> used_;
  std::set<std::pair<std::string, LoraPart>> differs_;  // what changes, and how
  int64_t branches_ = 0, differences_ = 0, least_rank_ = 0, largest_rank_ = 0;
};

}  // namespace

absl::StatusOr<LoraFile> LoraFile::Open(Env& env, const LoraSpec& spec) {
  LoraFile opened;
  opened.spec = spec;
  if (spec.adapter.empty()) {
    opened.spec.adapter = std::string(absl::StripSuffix(Basename(spec.path), ".safetensors"));
  }
  if (!std::isfinite(spec.strength)) {
    return absl::InvalidArgumentError(
        absl::StrCat(spec.path, ": strength is ", spec.strength, ", but must be finite"));
  }
  WANLITE_ASSIGN_OR_RETURN(opened.file, SafetensorsFile::Open(env, spec.path));
  WANLITE_RETURN_IF_ERROR(Annotate(ReadMetadata(env, opened), spec.path));
  return opened;
}

double LoraFile::AlphaOf(const std::string& layer, int64_t rank) const {
  std::optional<double> found = alpha;
  for (const auto& [name, value] : alphas) {
    if (layer != name && !absl::EndsWith(layer, absl::StrCat(".", name))) continue;
    found = value;
    break;
  }
  if (!found.has_value()) return static_cast<double>(rank);
  return rank_stabilized ? *found * std::sqrt(static_cast<double>(rank)) : *found;
}

absl::StatusOr<LoraSet> FitLoras(const std::vector<LoraFile>& files, const ModelView& model) {
  auto rep = std::make_shared<LoraSet::Rep>();
  rep->files = files;
  for (size_t i = 0; i < files.size(); ++i) {
    WANLITE_RETURN_IF_ERROR(Annotate(Fitting(files[i], i, model, *rep).Run(), files[i].spec.path));
  }
  return LoraSet(std::move(rep));
}

absl::StatusOr<LoraSet> LoraSet::Open(Env& env, const std::vector<LoraSpec>& specs,
                                      const ModelView& model) {
  std::vector<LoraFile> files;
  for (const LoraSpec& spec : specs) {
    WANLITE_ASSIGN_OR_RETURN(files.emplace_back(), LoraFile::Open(env, spec));
  }
  return FitLoras(files, model);
}

}  // namespace wanlite
