// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/lora/lora_names.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "src/core/quote_name.h"
#include "wanlite/architecture.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Two names that the table has for one name that was asked for.
constexpr char kSeveral[] = "\n";

struct PartEnding {
  absl::string_view ending;
  LoraPart part;
};
constexpr PartEnding kPartEndings[] = {
    {".lora_A.weight", LoraPart::kA},
    {".lora_B.weight", LoraPart::kB},
    {".lora_A.default.weight", LoraPart::kA},
    {".lora_B.default.weight", LoraPart::kB},
    {".lora_down.weight", LoraPart::kA},
    {".lora_up.weight", LoraPart::kB},
    {".lora.down.weight", LoraPart::kA},
    {".lora.up.weight", LoraPart::kB},
    {".lora_B.bias", LoraPart::kBiasOfB},
    {".lora_up.bias", LoraPart::kBiasOfB},
    {".alpha", LoraPart::kAlpha},
    {".diff", LoraPart::kDifference},
    {".diff_b", LoraPart::kBiasDifference},
    {".diff_m", LoraPart::kModulation},
};

// What tells another kind of adapter.
constexpr std::pair<absl::string_view, absl::string_view> kOtherKinds[] = {
    {"dora_scale", "DoRA, which is not linear in its update"},
    {"lora_magnitude_vector", "DoRA, which is not linear in its update"},
    {"hada_w", "LoHa"},
    {"lokr_w", "LoKr"},
    {"lora_mid", "LoCon with a Tucker core"},
    {"oft_", "OFT"},
    {"lora_embedding_", "LoRA of an embedding"},
};

std::string Underscored(absl::string_view name) { return absl::StrReplaceAll(name, {{".", "_"}}); }

}  // namespace

absl::StatusOr<LoraName> ParseLoraName(absl::string_view name,
                                       const std::vector<std::string>& components) {
  LoraName parsed;
  absl::string_view rest = name;
  bool found = false;
  for (const PartEnding& ending : kPartEndings) {
    if (!absl::ConsumeSuffix(&rest, ending.ending)) continue;
    parsed.part = ending.part;
    found = true;
    break;
  }
  if (!found) {
    for (const auto& [mark, kind] : kOtherKinds) {
      if (!absl::StrContains(name, mark)) continue;
      return absl::UnimplementedError(
          absl::StrCat(QuoteName(name), " is a part of ", kind, "; LoRA alone is read"));
    }
    return absl::InvalidArgumentError(absl::StrCat(
        QuoteName(name),
        " is no name of a LoRA file: such names end in .lora_A.weight, .lora_B.weight, "
        ".lora_down.weight, .lora_up.weight, .alpha, .diff, .diff_b or .diff_m"));
  }
  // Files for any network say "transformer".
  std::vector<std::string> networks = components;
  networks.push_back("transformer");
  // Prefixes stand one after the other: "base_model.model.transformer_2.blocks.0…".
  constexpr absl::string_view kPlain[] = {"base_model.model.", "model.diffusion_model.",
                                          "diffusion_model.", "lora_unet_"};
  constexpr std::pair<absl::string_view, absl::string_view> kNoise[] = {
      {"high_noise_model.", kHighNoiseHint}, {"high_noise.", kHighNoiseHint},
      {"|high_noise|", kHighNoiseHint},      {"low_noise_model.", kLowNoiseHint},
      {"low_noise.", kLowNoiseHint},         {"|low_noise|", kLowNoiseHint}};
  for (bool again = true; again;) {
    again = false;
    for (const absl::string_view prefix : kPlain) again |= absl::ConsumePrefix(&rest, prefix);
    if (!parsed.network.empty()) continue;
    for (const auto& [prefix, hint] : kNoise) {
      if (!parsed.network.empty() || !absl::ConsumePrefix(&rest, prefix)) continue;
      parsed.network = std::string(hint);
      again = true;
    }
    for (const std::string& component : networks) {
      if (!parsed.network.empty() || component.empty() ||
          !absl::ConsumePrefix(&rest, absl::StrCat(component, "."))) {
        continue;
      }
      parsed.network = component;
      again = true;
    }
  }
  if (rest.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteName(name), " names no layer"));
  }
  parsed.layer = std::string(rest);
  return parsed;
}

std::string NoiseHintOf(absl::string_view file_name) {
  std::string letters;
  for (const char c : file_name) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) letters += absl::ascii_tolower(c);
  }
  const bool high = absl::StrContains(letters, "highnoise");
  const bool low = absl::StrContains(letters, "lownoise");
  if (high == low) return "";
  return high ? kHighNoiseHint : kLowNoiseHint;
}

absl::StatusOr<LayerNames> LayerNames::Of(const ModelView& model, const Component& component) {
  TensorNames foreign;
  if (component.definition != nullptr && component.definition->names) {
    WANLITE_ASSIGN_OR_RETURN(foreign, component.definition->names(component.config_json));
  }
  LayerNames names;
  const size_t cut = component.name.empty() ? 0 : component.name.size() + 1;
  const auto add = [](Table& table, absl::string_view name, const std::string& path) {
    const auto [entry, added] = table.emplace(Underscored(name), path);
    if (!added && entry->second != path) entry->second = kSeveral;
  };
  for (const LinearInfo& linear : model.linears()) {
    if (model.ComponentOf(linear.path).name != component.name) continue;
    const std::string inside = linear.path.substr(cut);
    add(names.linears_, inside, linear.path);
    if (!foreign) continue;
    const std::string other = foreign(absl::StrCat(inside, ".weight"));
    add(names.linears_, absl::StripSuffix(other, ".weight"), linear.path);
  }
  for (const NamedTensor& named : model.Tensors()) {
    if (model.ComponentOf(named.name).name != component.name) continue;
    const size_t dot = named.name.rfind('.');
    const std::string owner = dot == std::string::npos ? "" : named.name.substr(0, dot);
    // A linear's own tensors are its weight's, whatever its format; its bias is not.
    if (model.FindLinear(owner) != nullptr && !absl::EndsWith(named.name, ".bias")) continue;
    const std::string inside = named.name.substr(cut);
    add(names.tensors_, inside, named.name);
    if (foreign) add(names.tensors_, foreign(inside), named.name);
  }
  return names;
}

absl::StatusOr<std::string> LayerNames::Find(const Table& table, absl::string_view name) {
  const auto found = table.find(Underscored(name));
  if (found == table.end()) return std::string();
  if (found->second != kSeveral) return found->second;
  return absl::InvalidArgumentError(
      absl::StrCat("the name ", QuoteName(name), " fits several layers of the model"));
}

absl::StatusOr<std::string> ForeignLayerName(const Component& component,
                                             const std::string& internal) {
  if (component.definition == nullptr || !component.definition->names) return internal;
  WANLITE_ASSIGN_OR_RETURN(const TensorNames names,
                           component.definition->names(component.config_json));
  const std::string name = names(absl::StrCat(internal, ".weight"));
  return std::string(absl::StripSuffix(name, ".weight"));
}

absl::StatusOr<std::string> LayerPrefix(const Component& component, const std::string& internal,
                                        LoraNaming naming) {
  if (naming == LoraNaming::kKohya) return absl::StrCat("lora_unet_", Underscored(internal));
  if (naming == LoraNaming::kComfy) return absl::StrCat("diffusion_model.", internal);
  WANLITE_ASSIGN_OR_RETURN(const std::string foreign, ForeignLayerName(component, internal));
  return absl::StrCat("transformer.", foreign);
}

const char* EndingOfA(LoraNaming naming) {
  return naming == LoraNaming::kPeft ? ".lora_A.weight" : ".lora_down.weight";
}
const char* EndingOfB(LoraNaming naming) {
  return naming == LoraNaming::kPeft ? ".lora_B.weight" : ".lora_up.weight";
}

}  // namespace wanlite
