// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/umt5_names.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/model/wan/block_edits.h"
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

namespace {

// All sizes stand in the shapes; how far positions reach does not, and is the published 128.
absl::StatusOr<std::string> Umt5ConfigOfShapes(const TensorShapes& shapes) {
  const auto find = [&](const std::string& name) -> const std::vector<int64_t>* {
    auto it = shapes.find(name);
    if (it == shapes.end()) it = shapes.find(Umt5ToTransformers(name));
    if (it == shapes.end() && name == "token_embedding.weight") {
      it = shapes.find("encoder.embed_tokens.weight");
    }
    return it == shapes.end() ? nullptr : &it->second;
  };
  const auto matrix = [&](const std::string& name) -> absl::StatusOr<std::vector<int64_t>> {
    const std::vector<int64_t>* shape = find(name);
    if (shape != nullptr && shape->size() == 2 && (*shape)[1] > 0) return *shape;
    return absl::InvalidArgumentError(
        absl::StrCat(name, shape == nullptr ? " is missing" : " is no matrix"));
  };
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> embedding, matrix("token_embedding.weight"));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> position,
                           matrix("blocks.0.pos_embedding.embedding.weight"));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> query, matrix("blocks.0.attn.q.weight"));
  Umt5Config config;
  config.vocab_size = embedding[0];
  config.d_model = embedding[1];
  config.num_buckets = position[0];
  config.num_heads = position[1];
  config.d_kv = query[0] / config.num_heads;
  config.num_layers = 0;
  for (;; ++config.num_layers) {
    const auto* gate = find(absl::StrCat("blocks.", config.num_layers, ".ffn.gate.0.weight"));
    if (gate == nullptr || gate->empty()) break;
    config.ffn_dims.push_back(gate->front());
  }
  if (!config.ffn_dims.empty()) config.d_ff = config.ffn_dims.front();
  if (std::all_of(config.ffn_dims.begin(), config.ffn_dims.end(),
                  [&](int64_t width) { return width == config.d_ff; })) {
    config.ffn_dims.clear();
  }
  WANLITE_RETURN_IF_ERROR(ValidateUmt5Config(config));
  return Umt5ConfigJson(config);
}

}  // namespace

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
  architecture.names = [](absl::string_view) -> absl::StatusOr<TensorNames> {
    return TensorNames([](const std::string& name) { return Umt5ToTransformers(name); });
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
  architecture.edit_config = [](absl::string_view config_json,
                                const StructureEdit& edit) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(Umt5Config config, ParseUmt5Config(config_json));
    ExpandPerBlock(config.ffn_dims, config.d_ff, config.num_layers);
    ExpandPerBlock(config.attn_heads, config.num_heads, config.num_layers);
    WANLITE_RETURN_IF_ERROR(
        EditBlockSizes(edit, &config.num_layers,
                       {{"ffn.channels", &config.ffn_dims}, {"attn.heads", &config.attn_heads}}));
    SettleSizes(config);
    WANLITE_RETURN_IF_ERROR(ValidateUmt5Config(config));
    return Umt5ConfigJson(config);
  };
  architecture.recognizes = [](const std::vector<std::string>& names) {
    const auto has = [&names](const std::string& name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    // With one block alone T5's shared position bias looks like umT5's.
    const char* const marks[] = {"blocks.0.attn.q.weight", "blocks.0.ffn.gate.0.weight",
                                 "blocks.0.pos_embedding.embedding.weight"};
    return (has("token_embedding.weight") &&
            std::all_of(std::begin(marks), std::end(marks), has)) ||
           ((has("shared.weight") || has("encoder.embed_tokens.weight")) &&
            !has("decoder.block.0.layer.0.SelfAttention.q.weight") &&
            (!has("encoder.block.1.layer.0.SelfAttention.q.weight") ||
             has("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight")) &&
            std::all_of(std::begin(marks), std::end(marks),
                        [&](const char* name) { return has(Umt5ToTransformers(name)); }));
  };
  architecture.config_keys = {"architectures",
                              "bos_token_id",
                              "classifier_dropout",
                              "d_ff",
                              "d_kv",
                              "d_model",
                              "decoder_layers",
                              "decoder_start_token_id",
                              "dense_act_fn",
                              "dim",
                              "dim_attn",
                              "dim_ffn",
                              "dropout",
                              "dropout_rate",
                              "dtype",
                              "encoder_layers",
                              "eos_token_id",
                              "feed_forward_proj",
                              "initializer_factor",
                              "is_decoder",
                              "is_encoder_decoder",
                              "is_gated_act",
                              "layer_norm_epsilon",
                              "model_type",
                              "n_positions",
                              "num_buckets",
                              "num_decoder_layers",
                              "num_heads",
                              "num_layers",
                              "output_past",
                              "pad_token_id",
                              "relative_attention_max_distance",
                              "relative_attention_num_buckets",
                              "scalable_attention",
                              "shared_pos",
                              "tie_word_embeddings",
                              "tokenizer_class",
                              "torch_dtype",
                              "transformers_version",
                              "use_cache",
                              "vocab",
                              "vocab_size",
                              "wanlite_attn_heads",
                              "wanlite_ffn_dims"};
  architecture.config_of_shapes = Umt5ConfigOfShapes;
  architecture.exportable = [](absl::string_view config_json, FolderLayout) -> absl::Status {
    WANLITE_ASSIGN_OR_RETURN(const Umt5Config config, ParseUmt5Config(config_json));
    if (config.ffn_dims.empty() && config.attn_heads.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        config.ffn_dims.empty() ? "wanlite_attn_heads: the blocks have numbers of heads"
                                : "wanlite_ffn_dims: the blocks have widths",
        " of their own, which other programs cannot load"));
  };
  architecture.padded_config = [](absl::string_view config_json,
                                  int64_t multiple) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(Umt5Config config, ParseUmt5Config(config_json));
    config.d_ff = PaddedSize(config.ffn_dims, config.d_ff, multiple);
    config.num_heads = PaddedSize(config.attn_heads, config.num_heads, 1);
    config.ffn_dims.clear();
    config.attn_heads.clear();
    WANLITE_RETURN_IF_ERROR(ValidateUmt5Config(config));
    return Umt5ConfigJson(config);
  };
  return architecture;
}

}  // namespace wanlite::wan
