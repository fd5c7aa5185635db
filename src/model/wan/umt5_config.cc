// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/core/json_fields.h"
#include "src/model/wan/umt5.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {
namespace {

constexpr char kWhat[] = "text encoder config";
// Bounds that no sensible network reaches, so that a hostile config cannot ask for all memory.
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxLayers = 1024;

absl::Status CheckTextRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kWhat, ": ", field, " is ", value, ", must be ", low, " to ", high));
}

absl::Status CheckPerBlock(absl::string_view field, const std::vector<int64_t>& values,
                           int64_t layers) {
  if (values.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(values.size()) != layers) {
    return absl::InvalidArgumentError(absl::StrCat(kWhat, ": ", field, " has ", values.size(),
                                                   " values, must have num_layers = ", layers));
  }
  for (const int64_t value : values)
    WANLITE_RETURN_IF_ERROR(CheckTextRange(field, value, 1, kMaxWidth));
  return absl::OkStatus();
}

absl::Status CheckText(const JsonFields& json, const char* field, const std::string& built,
                       absl::string_view why) {
  std::string found = built;
  WANLITE_RETURN_IF_ERROR(json.String({field}, found));
  if (found == built) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(kWhat, ": ", field, " is \"", found, "\"; only \"", built, "\" is built", why));
}

}  // namespace

absl::Status ValidateUmt5Config(const Umt5Config& config) {
  WANLITE_RETURN_IF_ERROR(CheckTextRange("vocab_size", config.vocab_size, 1, kMaxVocabulary));
  WANLITE_RETURN_IF_ERROR(CheckTextRange("d_model", config.d_model, 1, kMaxWidth));
  WANLITE_RETURN_IF_ERROR(CheckTextRange("d_kv", config.d_kv, 1, kMaxWidth));
  WANLITE_RETURN_IF_ERROR(CheckTextRange("d_ff", config.d_ff, 1, kMaxWidth));
  WANLITE_RETURN_IF_ERROR(CheckTextRange("num_layers", config.num_layers, 1, kMaxLayers));
  WANLITE_RETURN_IF_ERROR(CheckTextRange("num_heads", config.num_heads, 1, kMaxWidth));
  // Fewer leave no bucket for single distances; the logarithm below divides by their number.
  WANLITE_RETURN_IF_ERROR(
      CheckTextRange("relative_attention_num_buckets", config.num_buckets, 4, kMaxWidth));
  WANLITE_RETURN_IF_ERROR(CheckTextRange("relative_attention_max_distance", config.max_distance,
                                         config.num_buckets / 4 + 1, kMaxWidth));
  if (!std::isfinite(config.eps) || config.eps <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(kWhat, ": layer_norm_epsilon is ", config.eps,
                                                   ", must be finite and positive"));
  }
  WANLITE_RETURN_IF_ERROR(CheckPerBlock("wanlite_ffn_dims", config.ffn_dims, config.num_layers));
  return CheckPerBlock("wanlite_attn_heads", config.attn_heads, config.num_layers);
}

absl::StatusOr<Umt5Config> ParseUmt5Config(absl::string_view text) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields json, JsonFields::Parse(kWhat, text));
  WANLITE_RETURN_IF_ERROR(CheckText(json, "model_type", "umt5",
                                    " (T5 and mT5 share one position bias among all blocks)"));
  WANLITE_RETURN_IF_ERROR(CheckText(json, "feed_forward_proj", "gated-gelu", ""));
  bool shared_bias = false, decoder = false;
  WANLITE_RETURN_IF_ERROR(json.Bool({"shared_pos"}, shared_bias));
  WANLITE_RETURN_IF_ERROR(json.Bool({"is_decoder"}, decoder));
  if (shared_bias || decoder) {
    return absl::UnimplementedError(absl::StrCat(
        kWhat, ": ", shared_bias ? "shared_pos" : "is_decoder", " is true; only false is built"));
  }

  Umt5Config config;
  // transformers' names, then those of Wan's own code.
  const auto required = [&json](JsonFields::Names names, int64_t& value) -> absl::Status {
    if (json.Has(names)) return json.Int(names, value);
    return absl::InvalidArgumentError(absl::StrCat(kWhat, ": ", *names.begin(), " is missing"));
  };
  WANLITE_RETURN_IF_ERROR(required({"vocab_size", "vocab"}, config.vocab_size));
  WANLITE_RETURN_IF_ERROR(required({"d_model", "dim"}, config.d_model));
  WANLITE_RETURN_IF_ERROR(required({"d_ff", "dim_ffn"}, config.d_ff));
  WANLITE_RETURN_IF_ERROR(required({"num_layers", "encoder_layers"}, config.num_layers));
  WANLITE_RETURN_IF_ERROR(required({"num_heads"}, config.num_heads));
  if (json.Has({"d_kv"}) || !json.Has({"dim_attn"})) {
    WANLITE_RETURN_IF_ERROR(
        json.Int({"d_kv"}, config.d_kv));  // 64 when absent, in transformers too
  } else {
    int64_t inner = 0;
    WANLITE_RETURN_IF_ERROR(json.Int({"dim_attn"}, inner));
    WANLITE_RETURN_IF_ERROR(CheckTextRange("num_heads", config.num_heads, 1, kMaxWidth));
    if (inner <= 0 || inner % config.num_heads != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(kWhat, ": dim_attn is ", inner,
                       ", must be a multiple of num_heads = ", config.num_heads));
    }
    config.d_kv = inner / config.num_heads;
  }
  WANLITE_RETURN_IF_ERROR(
      json.Int({"relative_attention_num_buckets", "num_buckets"}, config.num_buckets));
  WANLITE_RETURN_IF_ERROR(json.Int({"relative_attention_max_distance"}, config.max_distance));
  WANLITE_RETURN_IF_ERROR(json.Double({"layer_norm_epsilon"}, config.eps));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_ffn_dims"}, config.ffn_dims));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_attn_heads"}, config.attn_heads));
  WANLITE_RETURN_IF_ERROR(ValidateUmt5Config(config));
  return config;
}

std::string Umt5ConfigJson(const Umt5Config& config) {
  nlohmann::ordered_json json;
  json["architectures"] = {"UMT5EncoderModel"};
  json["d_ff"] = config.d_ff;
  json["d_kv"] = config.d_kv;
  json["d_model"] = config.d_model;
  json["dense_act_fn"] = "gelu_new";
  json["eos_token_id"] = 1;
  json["feed_forward_proj"] = "gated-gelu";
  json["is_encoder_decoder"] = true;
  json["is_gated_act"] = true;
  json["layer_norm_epsilon"] = config.eps;
  json["model_type"] = "umt5";
  json["num_heads"] = config.num_heads;
  json["num_layers"] = config.num_layers;
  json["pad_token_id"] = 0;
  json["relative_attention_max_distance"] = config.max_distance;
  json["relative_attention_num_buckets"] = config.num_buckets;
  json["vocab_size"] = config.vocab_size;
  if (!config.ffn_dims.empty()) json["wanlite_ffn_dims"] = config.ffn_dims;
  if (!config.attn_heads.empty()) json["wanlite_attn_heads"] = config.attn_heads;
  return json.dump(2) + "\n";
}

}  // namespace wanlite::wan
