// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/lora/lora_file.h"
#include "src/lora/lora_names.h"
#include "wanlite/checkpoint.h"
#include "wanlite/lora.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

struct ExportedLayer {
  LinearInfo linear;
  int64_t rank = 0;
  double alpha = 0;  // strength and all
};

// The one of `there` that is meant; all of them are told when it is not clear.
absl::StatusOr<std::string> Meant(absl::string_view what, const std::string& wanted,
                                  const std::set<std::string>& there) {
  if (there.empty()) return absl::NotFoundError("the model has no adapter");
  const std::string list = absl::StrJoin(
      there, ", ", [](std::string* out, const auto& name) { out->append(QuoteName(name)); });
  if (wanted.empty()) {
    if (there.size() == 1) return *there.begin();
    return absl::InvalidArgumentError(
        absl::StrCat("the model has adapters of several ", what, "s, say which: ", list));
  }
  if (there.contains(wanted)) return wanted;
  return absl::NotFoundError(absl::StrCat("the model has no adapter of the ", what, " ",
                                          QuoteName(wanted), ", but of ", list));
}

// The number that most layers have.
template <typename Number>
Number Usual(const std::vector<ExportedLayer>& layers, Number ExportedLayer::*field) {
  std::map<Number, int64_t> counts;
  for (const ExportedLayer& layer : layers) ++counts[layer.*field];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// What diffusers gives PEFT: LoraConfig, each key after the name of the network.
std::string AdapterMetadata(const std::vector<ExportedLayer>& layers,
                            const std::vector<std::string>& names) {
  const int64_t rank = Usual(layers, &ExportedLayer::rank);
  const double alpha = Usual(layers, &ExportedLayer::alpha);
  nlohmann::json json = {{"transformer.r", rank},
                         {"transformer.lora_alpha", alpha},
                         {"transformer.target_modules", names},
                         {"transformer.rank_pattern", nlohmann::json::object()},
                         {"transformer.alpha_pattern", nlohmann::json::object()}};
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].rank != rank) json["transformer.rank_pattern"][names[i]] = layers[i].rank;
    if (layers[i].alpha != alpha) json["transformer.alpha_pattern"][names[i]] = layers[i].alpha;
  }
  return json.dump();
}

}  // namespace

absl::StatusOr<LoraNaming> ParseLoraNaming(absl::string_view name) {
  if (name == "peft") return LoraNaming::kPeft;
  if (name == "kohya") return LoraNaming::kKohya;
  if (name == "comfy") return LoraNaming::kComfy;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown naming '", name, "', there are: peft, kohya, comfy"));
}

absl::StatusOr<int64_t> ExportLora(Env& env, ModelView& model, absl::string_view path,
                                   const LoraExport& options) {
  WANLITE_RETURN_IF_ERROR(env.CheckOutputFile(path));
  std::set<std::string> components, adapters;
  for (const LinearInfo& linear : model.linears()) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    if (!LoraBranches(*weight).empty()) components.insert(model.ComponentOf(linear.path).name);
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string component,
                           Meant("component", options.component, components));
  for (const LinearInfo& linear : model.linears()) {
    if (model.ComponentOf(linear.path).name != component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    for (const LoraBranch& branch : LoraBranches(*weight)) adapters.insert(branch.adapter);
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string adapter, Meant("name", options.adapter, adapters));

  const bool peft = options.naming == LoraNaming::kPeft;
  const Component& owner = *model.FindComponent(component);
  std::vector<ExportedLayer> layers;
  std::vector<std::string> names;
  std::vector<NamedTensor> tensors;
  for (const BlockInfo& block : std::vector<BlockInfo>(model.blocks())) {
    if (model.ComponentOf(block.path).name != component) continue;
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
    for (const LinearInfo& linear : model.linears()) {
      if (linear.block != block.path) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      bool named = false;
      for (const LoraBranch& branch : LoraBranches(*weight)) {
        if (branch.adapter != adapter) continue;
        if (named) {
          return absl::InvalidArgumentError(
              absl::StrCat(linear.path, " has two adapters of the name ", QuoteName(adapter)));
        }
        named = true;
        layers.push_back({linear, branch.a.size(0), branch.alpha * branch.strength});
        const std::string internal =
            component.empty() ? linear.path : linear.path.substr(component.size() + 1);
        WANLITE_ASSIGN_OR_RETURN(const std::string foreign, ForeignLayerName(owner, internal));
        names.push_back(foreign);
        WANLITE_ASSIGN_OR_RETURN(const std::string prefix,
                                 LayerPrefix(owner, internal, options.naming));
        WANLITE_RETURN_IF_ERROR(CatchTorch([&] {
          // Copies: what a lease holds is gone with it.
          tensors.push_back({prefix + EndingOfA(options.naming), branch.a.detach().cpu().clone()});
          tensors.push_back({prefix + EndingOfB(options.naming), branch.b.detach().cpu().clone()});
          if (!peft) {
            tensors.push_back({prefix + ".alpha", at::scalar_tensor(layers.back().alpha)});
          }
        }));
      }
    }
  }
  std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"},
                                                               {kLoraComponentKey, component}};
  if (peft) metadata.emplace_back(kLoraAdapterMetadataKey, AdapterMetadata(layers, names));
  WANLITE_RETURN_IF_ERROR(WriteSafetensors(env, path, tensors, metadata).status());
  return static_cast<int64_t>(layers.size());
}

}  // namespace wanlite
