// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/umt5_names.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/model/wan/umt5.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

struct NamePair {
  const char* original;
  const char* transformers;
};
constexpr NamePair kOutside[] = {
    {"token_embedding.", "shared."},
    {"norm.", "encoder.final_layer_norm."},
};
constexpr NamePair kInBlock[] = {
    {"norm1.", "layer.0.layer_norm."},
    {"attn.", "layer.0.SelfAttention."},
    {"pos_embedding.embedding.", "layer.0.SelfAttention.relative_attention_bias."},
    {"norm2.", "layer.1.layer_norm."},
    {"ffn.gate.0.", "layer.1.DenseReluDense.wi_0."},
    {"ffn.fc1.", "layer.1.DenseReluDense.wi_1."},
    {"ffn.fc2.", "layer.1.DenseReluDense.wo."},
};

// Replaces the start of `name`; false when no pair fits.
template <size_t kCount>
bool Replace(const NamePair (&pairs)[kCount], std::string& name) {
  for (const NamePair& pair : pairs) {
    const std::string start = pair.original;
    if (name.compare(0, start.size(), start) != 0) continue;
    name = pair.transformers + name.substr(start.size());
    return true;
  }
  return false;
}

}  // namespace

std::string Umt5ToTransformers(const std::string& internal_name) {
  std::string name = internal_name;
  if (Replace(kOutside, name)) return name;
  const std::string blocks = "blocks.";
  const size_t dot = name.find('.', blocks.size());
  if (name.compare(0, blocks.size(), blocks) != 0 || dot == std::string::npos) return internal_name;
  const std::string index = name.substr(blocks.size(), dot - blocks.size());
  name = name.substr(dot + 1);
  if (!Replace(kInBlock, name)) return internal_name;
  return absl::StrCat("encoder.block.", index, ".", name);
}

Architecture Umt5Architecture() {
  Architecture architecture;
  architecture.name = "UMT5EncoderModel";
  architecture.role = ComponentRole::kTextEncoder;
  architecture.build =
      [](absl::string_view config_json) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const Umt5Config config, ParseUmt5Config(config_json));
    WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<Umt5> encoder, Umt5::Create(config));
    return std::shared_ptr<torch::nn::Module>(std::move(encoder));
  };
  architecture.to_diffusers = [](absl::string_view, const std::string& internal_name) {
    return Umt5ToTransformers(internal_name);
  };
  // transformers ties the two names of the embedding and has written either or both.
  architecture.foreign_aliases = {{"encoder.embed_tokens.weight", "token_embedding.weight"}};
  architecture.normalize_config = [](absl::string_view config_json) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(const Umt5Config config, ParseUmt5Config(config_json));
    return Umt5ConfigJson(config);
  };
  architecture.config_of = [](absl::string_view,
                              const torch::nn::Module& module) -> absl::StatusOr<std::string> {
    const Umt5* encoder = dynamic_cast<const Umt5*>(&module);
    if (encoder == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("UMT5EncoderModel: the module is a ", module.name(), ", must be a Umt5"));
    }
    return Umt5ConfigJson(encoder->CurrentConfig());
  };
  architecture.recognizes = [](const std::vector<std::string>& names) {
    const auto has = [&names](const char* name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    return has("token_embedding.weight") && has("blocks.0.attn.q.weight") &&
           has("blocks.0.ffn.gate.0.weight") && has("blocks.0.pos_embedding.embedding.weight");
  };
  return architecture;
}

}  // namespace wanlite::wan
