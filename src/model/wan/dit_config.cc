// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/input_limits.h"
#include "src/core/json_fields.h"
#include "src/model/wan/dit_architecture.h"
#include "src/model/wan/dit_names.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {
namespace {

constexpr absl::string_view kDitConfig = "transformer config";
// Bounds that no sensible network reaches, so that a hostile config cannot ask for all memory.
constexpr int64_t kMaxChannels = int64_t{1} << 20;
constexpr int64_t kMaxBlocks = 1024;
constexpr int64_t kMaxPatch = 64;
constexpr int64_t kMaxPositions = int64_t{1} << 20;

absl::Status NotBuilt(absl::string_view field, absl::string_view found, absl::string_view wanted) {
  return absl::UnimplementedError(
      absl::StrCat(kDitConfig, ": ", field, " is ", found, "; only ", wanted, " is built"));
}

absl::Status CheckDitRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kDitConfig, ": ", field, " is ", value, ", must be ", low, " to ", high));
}

absl::Status CheckPerBlock(absl::string_view field, const std::vector<int64_t>& values,
                           int64_t num_layers, int64_t high) {
  if (values.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(values.size()) != num_layers) {
    return absl::InvalidArgumentError(absl::StrCat(kDitConfig, ": ", field, " has ", values.size(),
                                                   " values, must have ", num_layers,
                                                   " (num_layers)"));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    WANLITE_RETURN_IF_ERROR(CheckDitRange(absl::StrCat(field, "[", i, "]"), values[i], 1, high));
  }
  return absl::OkStatus();
}

absl::Status Validate(const DitConfig& config) {
  for (size_t i = 0; i < 3; ++i) {
    WANLITE_RETURN_IF_ERROR(
        CheckDitRange(absl::StrCat("patch_size[", i, "]"), config.patch_size[i], 1, kMaxPatch));
  }
  WANLITE_RETURN_IF_ERROR(CheckDitRange("num_layers", config.num_layers, 1, kMaxBlocks));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("num_attention_heads", config.num_heads, 1, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("attention_head_dim", config.head_dim, 2, kMaxChannels));
  if (config.head_dim % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(kDitConfig, ": attention_head_dim is ",
                                                   config.head_dim,
                                                   ", must be even (channels turn in pairs)"));
  }
  WANLITE_RETURN_IF_ERROR(CheckDitRange("num_attention_heads * attention_head_dim",
                                        config.inner_dim(), 2, kMaxChannels));
  if (config.width != 0) {
    WANLITE_RETURN_IF_ERROR(CheckDitRange("wanlite_dim", config.width, 1, kMaxChannels));
  }
  WANLITE_RETURN_IF_ERROR(CheckDitRange("in_channels", config.in_channels, 1, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("out_channels", config.out_channels, 1, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("text_dim", config.text_dim, 1, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("freq_dim", config.freq_dim, 2, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("ffn_dim", config.ffn_dim, 1, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(
      CheckDitRange("rope_max_seq_len", config.rope_max_seq_len, 1, kMaxPositions));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("text_len", config.text_len, 1, kMaxTextTokens));
  if (!std::isfinite(config.eps) || config.eps <= 0 || config.eps >= 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(kDitConfig, ": eps is ", config.eps, ", must lie between 0 and 1"));
  }
  WANLITE_RETURN_IF_ERROR(
      CheckPerBlock("wanlite_ffn_dims", config.ffn_dims, config.num_layers, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(CheckPerBlock("wanlite_self_attn_heads", config.self_attn_heads,
                                        config.num_layers, config.num_heads));
  return CheckPerBlock("wanlite_cross_attn_heads", config.cross_attn_heads, config.num_layers,
                       config.num_heads);
}

absl::Status ParsePatchSize(const JsonFields& json, std::array<int64_t, 3>& out) {
  std::vector<int64_t> patch(out.begin(), out.end());
  WANLITE_RETURN_IF_ERROR(json.Ints({"patch_size"}, patch));
  if (patch.size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat(kDitConfig, ": patch_size has ", patch.size(),
                                                   " values, must have 3 (frames, height, width)"));
  }
  std::copy(patch.begin(), patch.end(), out.begin());
  return absl::OkStatus();
}

// The fields by which configs ask for image conditioning.
absl::Status RejectImageVariants(const JsonFields& json) {
  for (const char* field : {"image_dim", "added_kv_proj_dim", "pos_embed_seq_len"}) {
    constexpr int64_t kAbsent = std::numeric_limits<int64_t>::min();
    int64_t value = kAbsent;
    WANLITE_RETURN_IF_ERROR(json.Int({field}, value));
    if (value != kAbsent) {
      return NotBuilt(field, absl::StrCat(value, " (image conditioning)"),
                      "text-to-video, with null,");
    }
  }
  return absl::OkStatus();
}

absl::Status ParseOriginal(const JsonFields& json, DitConfig& config) {
  std::string type = "t2v";
  WANLITE_RETURN_IF_ERROR(json.String({"model_type"}, type));
  // "ti2v" is the 5B model, whose transformer is the text-to-video one with a timestep per token.
  // The "i2v" one of Wan 2.2 gets its image as more input channels, and is the same network too;
  // that of Wan 2.1 has a second attention for it.
  int64_t in_dim = 0, out_dim = 0;
  WANLITE_RETURN_IF_ERROR(json.Int({"in_dim"}, in_dim));
  WANLITE_RETURN_IF_ERROR(json.Int({"out_dim"}, out_dim));
  const bool image_as_channels = type == "i2v" && in_dim > out_dim && out_dim > 0;
  if (type != "t2v" && type != "ti2v" && !image_as_channels) {
    return NotBuilt("model_type", type, "t2v, ti2v or, with more in_dim than out_dim, i2v");
  }
  std::vector<int64_t> window{-1, -1};
  WANLITE_RETURN_IF_ERROR(json.Ints({"window_size"}, window));
  if (window != std::vector<int64_t>{-1, -1}) {
    return NotBuilt("window_size", "a window", "global attention, [-1, -1],");
  }
  int64_t dim = 2048;  // as the original class assumes where the config has none
  config.num_heads = 16;
  config.ffn_dim = 8192;
  config.num_layers = 32;
  WANLITE_RETURN_IF_ERROR(json.Int({"dim"}, dim));
  WANLITE_RETURN_IF_ERROR(json.Int({"num_heads"}, config.num_heads));
  WANLITE_RETURN_IF_ERROR(json.Int({"in_dim"}, config.in_channels));
  WANLITE_RETURN_IF_ERROR(json.Int({"out_dim"}, config.out_channels));
  WANLITE_RETURN_IF_ERROR(json.Bool({"qk_norm"}, config.qk_norm));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("num_heads", config.num_heads, 1, kMaxChannels));
  WANLITE_RETURN_IF_ERROR(CheckDitRange("dim", dim, 2, kMaxChannels));
  if (dim % config.num_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(kDitConfig, ": dim is ", dim,
                                                   ", must be a multiple of ", config.num_heads,
                                                   " (num_heads)"));
  }
  config.head_dim = dim / config.num_heads;
  return absl::OkStatus();
}

absl::Status ParseDiffusers(const JsonFields& json, DitConfig& config) {
  WANLITE_RETURN_IF_ERROR(json.Int({"num_attention_heads"}, config.num_heads));
  WANLITE_RETURN_IF_ERROR(json.Int({"attention_head_dim"}, config.head_dim));
  WANLITE_RETURN_IF_ERROR(json.Int({"in_channels"}, config.in_channels));
  config.out_channels = 0;  // null and 0 stand for in_channels
  WANLITE_RETURN_IF_ERROR(json.Int({"out_channels"}, config.out_channels));
  if (config.out_channels == 0) config.out_channels = config.in_channels;
  // diffusers normalises q and k whatever its qk_norm says; a model without needs a key of its own.
  return json.Bool({"wanlite_qk_norm"}, config.qk_norm);
}

// Sizes that no other program knows.
void AddOwnSizes(const DitConfig& config, nlohmann::ordered_json& json) {
  if (config.dim() != config.inner_dim()) json["wanlite_dim"] = config.dim();
  if (!config.ffn_dims.empty()) json["wanlite_ffn_dims"] = config.ffn_dims;
  if (!config.self_attn_heads.empty()) json["wanlite_self_attn_heads"] = config.self_attn_heads;
  if (!config.cross_attn_heads.empty()) json["wanlite_cross_attn_heads"] = config.cross_attn_heads;
}

}  // namespace

absl::StatusOr<DitConfig> ParseDitConfig(absl::string_view text) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields json, JsonFields::Parse(kDitConfig, text));
  std::string class_name;
  WANLITE_RETURN_IF_ERROR(json.String({"_class_name"}, class_name));
  constexpr int64_t kAbsent = std::numeric_limits<int64_t>::min();
  int64_t dim = kAbsent;
  if (class_name.empty()) WANLITE_RETURN_IF_ERROR(json.Int({"dim"}, dim));
  const bool original = class_name == "WanModel" || dim != kAbsent;
  if (!original && !class_name.empty() && class_name != "WanTransformer3DModel") {
    return NotBuilt("_class_name", class_name, "WanTransformer3DModel or WanModel");
  }
  WANLITE_RETURN_IF_ERROR(RejectImageVariants(json));
  DitConfig config;
  WANLITE_RETURN_IF_ERROR(original ? ParseOriginal(json, config) : ParseDiffusers(json, config));
  WANLITE_RETURN_IF_ERROR(ParsePatchSize(json, config.patch_size));
  WANLITE_RETURN_IF_ERROR(json.Int({"text_dim"}, config.text_dim));
  WANLITE_RETURN_IF_ERROR(json.Int({"freq_dim"}, config.freq_dim));
  WANLITE_RETURN_IF_ERROR(json.Int({"ffn_dim"}, config.ffn_dim));
  WANLITE_RETURN_IF_ERROR(json.Int({"num_layers"}, config.num_layers));
  WANLITE_RETURN_IF_ERROR(json.Bool({"cross_attn_norm"}, config.cross_attn_norm));
  WANLITE_RETURN_IF_ERROR(json.Double({"eps"}, config.eps));
  WANLITE_RETURN_IF_ERROR(json.Int({"rope_max_seq_len"}, config.rope_max_seq_len));
  WANLITE_RETURN_IF_ERROR(json.Int({"text_len"}, config.text_len));
  WANLITE_RETURN_IF_ERROR(json.Int({"wanlite_dim"}, config.width));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_ffn_dims"}, config.ffn_dims));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_self_attn_heads"}, config.self_attn_heads));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_cross_attn_heads"}, config.cross_attn_heads));
  WANLITE_RETURN_IF_ERROR(Validate(config));
  return config;
}

std::string DitConfigJson(const DitConfig& config) {
  nlohmann::ordered_json json;
  json["_class_name"] = "WanTransformer3DModel";
  json["added_kv_proj_dim"] = nullptr;
  json["attention_head_dim"] = config.head_dim;
  json["cross_attn_norm"] = config.cross_attn_norm;
  json["eps"] = config.eps;
  json["ffn_dim"] = config.ffn_dim;
  json["freq_dim"] = config.freq_dim;
  json["image_dim"] = nullptr;
  json["in_channels"] = config.in_channels;
  json["num_attention_heads"] = config.num_heads;
  json["num_layers"] = config.num_layers;
  json["out_channels"] = config.out_channels;
  json["patch_size"] = config.patch_size;
  json["pos_embed_seq_len"] = nullptr;
  json["qk_norm"] = "rms_norm_across_heads";
  json["rope_max_seq_len"] = config.rope_max_seq_len;
  json["text_dim"] = config.text_dim;
  // Not in diffusers' own configs; written only where they say something.
  if (config.text_len != DitConfig().text_len) json["text_len"] = config.text_len;
  if (!config.qk_norm) json["wanlite_qk_norm"] = false;
  AddOwnSizes(config, json);
  return json.dump(2) + "\n";
}

std::string DitOriginalConfigJson(const DitConfig& config) {
  const DitConfig defaults;
  nlohmann::ordered_json json;
  json["_class_name"] = "WanModel";
  json["dim"] = config.inner_dim();
  json["eps"] = config.eps;
  json["ffn_dim"] = config.ffn_dim;
  json["freq_dim"] = config.freq_dim;
  json["in_dim"] = config.in_channels;
  constexpr int64_t kChannelsOf5B = 48;
  json["model_type"] = config.in_channels > config.out_channels ? "i2v"
                       : config.in_channels == kChannelsOf5B    ? "ti2v"
                                                                : "t2v";
  json["num_heads"] = config.num_heads;
  json["num_layers"] = config.num_layers;
  json["out_dim"] = config.out_channels;
  json["text_len"] = config.text_len;
  // The published configs leave these to the class.
  if (config.patch_size != defaults.patch_size) json["patch_size"] = config.patch_size;
  if (config.text_dim != defaults.text_dim) json["text_dim"] = config.text_dim;
  if (!config.qk_norm) json["qk_norm"] = false;
  if (!config.cross_attn_norm) json["cross_attn_norm"] = false;
  if (config.rope_max_seq_len != defaults.rope_max_seq_len) {
    json["rope_max_seq_len"] = config.rope_max_seq_len;
  }
  AddOwnSizes(config, json);
  return json.dump(2) + "\n";
}

absl::StatusOr<DitConfig> DitConfigOfShapes(const TensorShapes& shapes) {
  const auto find = [&](const std::string& name) -> const std::vector<int64_t>* {
    auto it = shapes.find(name);
    if (it == shapes.end()) it = shapes.find(DitDiffusersName(name));
    return it == shapes.end() ? nullptr : &it->second;
  };
  const auto need = [&](const std::string& name,
                        size_t dims) -> absl::StatusOr<std::vector<int64_t>> {
    const std::vector<int64_t>* shape = find(name);
    if (shape != nullptr && shape->size() == dims) return *shape;
    return absl::InvalidArgumentError(absl::StrCat(
        name,
        shape == nullptr ? " is missing" : absl::StrCat(" has ", shape->size(), " dimensions"),
        ", wanted ", dims, " dimensions"));
  };
  DitConfig config;
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> patch, need("patch_embedding.weight", 5));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> text, need("text_embedding.0.weight", 2));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> time, need("time_embedding.0.weight", 2));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> head, need("head.head.weight", 2));
  const int64_t dim = patch[0];
  // Heads cannot be seen in the shapes: 128 channels are one head of 128 or four of 32.
  constexpr std::array<int64_t, 3> kPublishedWidths{1536, 3072, 5120};
  const DitConfig published;
  if (std::find(kPublishedWidths.begin(), kPublishedWidths.end(), dim) == kPublishedWidths.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "its width of ", dim, " is none of the published ", absl::StrJoin(kPublishedWidths, ", "),
        ", so its number of heads is not known"));
  }
  config.num_heads = dim / published.head_dim;
  config.in_channels = patch[1];
  int64_t patch_values = 1;
  for (size_t i = 0; i < 3; ++i) {
    config.patch_size[i] = patch[2 + i];
    WANLITE_RETURN_IF_ERROR(
        CheckDitRange(absl::StrCat("patch_size[", i, "]"), patch[2 + i], 1, kMaxPatch));
    patch_values *= patch[2 + i];
  }
  config.out_channels = head[0] / patch_values;
  config.text_dim = text[1];
  config.freq_dim = time[1];
  config.num_layers = 0;
  while (config.num_layers < kMaxBlocks) {
    const std::string block = absl::StrCat("blocks.", config.num_layers);
    const std::vector<int64_t>* ffn = find(block + ".ffn.0.weight");
    if (ffn == nullptr || ffn->empty()) break;
    config.ffn_dims.push_back(ffn->front());
    ++config.num_layers;
  }
  if (!config.ffn_dims.empty()) config.ffn_dim = config.ffn_dims.front();
  if (std::all_of(config.ffn_dims.begin(), config.ffn_dims.end(),
                  [&](int64_t width) { return width == config.ffn_dim; })) {
    config.ffn_dims.clear();
  }
  config.cross_attn_norm = find("blocks.0.norm3.weight") != nullptr;
  config.qk_norm = find("blocks.0.self_attn.norm_q.weight") != nullptr;
  WANLITE_RETURN_IF_ERROR(Validate(config));
  return config;
}

}  // namespace wanlite::wan
