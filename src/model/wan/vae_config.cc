// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/core/json_fields.h"
#include "src/model/wan/vae.h"
#include "src/model/wan/vae_layout.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {
namespace {

// Statistics of the published Wan 2.1 VAE, which diffusers assumes where a config has none.
constexpr double kWanLatentsMean[16] = {-0.7571, -0.7089, -0.9113, 0.1075,  -0.1745, 0.9653,
                                        -0.1517, 1.5508,  0.4134,  -0.0715, 0.5517,  -0.3632,
                                        -0.1922, -0.9497, 0.2503,  -0.2921};
constexpr double kWanLatentsStd[16] = {2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708,
                                       2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579,
                                       1.6382, 1.1253, 2.8251, 1.9160};
// Bounds that no sensible network reaches, so that a hostile config cannot ask for all memory.
constexpr int64_t kMaxVaeChannels = 1 << 16;
constexpr int64_t kMaxLevels = 8;
constexpr int64_t kMaxVaeBlocks = 64;

absl::Status CheckVaeRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("VAE config: ", field, " is ", value, ", must be ", low, " to ", high));
}

absl::Status CheckLength(absl::string_view field, size_t found, size_t wanted,
                         absl::string_view why) {
  if (found == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("VAE config: ", field, " has ", found,
                                                 " values, must have ", wanted, " (", why, ")"));
}

VaeConfig Unpruned(VaeConfig config) {
  config.encoder_widths.clear();
  config.encoder_inner.clear();
  config.decoder_widths.clear();
  config.decoder_inner.clear();
  return config;
}

// layout: of the config without the lists.
absl::Status CheckSizes(const std::string& half, const std::vector<int64_t>& widths,
                        const std::vector<int64_t>& inner, const VaeHalfLayout& layout) {
  const auto check = [&](const std::string& field, const std::vector<int64_t>& values,
                         size_t wanted) -> absl::Status {
    if (values.empty()) return absl::OkStatus();
    WANLITE_RETURN_IF_ERROR(CheckLength(field, values.size(), wanted, "one for each place"));
    for (size_t i = 0; i < values.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(
          CheckVaeRange(absl::StrCat(field, "[", i, "]"), values[i], 1, kMaxVaeChannels));
    }
    return absl::OkStatus();
  };
  WANLITE_RETURN_IF_ERROR(check(half + "_widths", widths, layout.widths.size()));
  return check(half + "_inner", inner, layout.inner.size());
}

}  // namespace

void SetVaeSizes(VaeConfig& config, const VaeHalfLayout& encoder, const VaeHalfLayout& decoder) {
  const VaeConfig unpruned = Unpruned(config);
  const VaeHalfLayout first = EncoderLayout(unpruned), second = DecoderLayout(unpruned);
  const auto differing = [](const std::vector<int64_t>& now, const std::vector<int64_t>& before) {
    return now == before ? std::vector<int64_t>() : now;
  };
  config.encoder_widths = differing(encoder.widths, first.widths);
  config.encoder_inner = differing(encoder.inner, first.inner);
  config.decoder_widths = differing(decoder.widths, second.widths);
  config.decoder_inner = differing(decoder.inner, second.inner);
}

int64_t VaeConfig::temporal_stride() const {
  int64_t stride = 1;
  for (const bool down : temporal_downsample) stride *= down ? 2 : 1;
  return stride;
}

absl::Status ValidateVaeConfig(const VaeConfig& config) {
  WANLITE_RETURN_IF_ERROR(CheckVaeRange("in_channels", config.in_channels, 1, kMaxVaeChannels));
  WANLITE_RETURN_IF_ERROR(CheckVaeRange("out_channels", config.out_channels, 1, kMaxVaeChannels));
  WANLITE_RETURN_IF_ERROR(CheckVaeRange("base_dim", config.base_dim, 1, kMaxVaeChannels));
  WANLITE_RETURN_IF_ERROR(
      CheckVaeRange("decoder_base_dim", config.decoder_base_dim, 1, kMaxVaeChannels));
  WANLITE_RETURN_IF_ERROR(CheckVaeRange("z_dim", config.z_dim, 1, kMaxVaeChannels));
  WANLITE_RETURN_IF_ERROR(CheckVaeRange("num_res_blocks", config.num_res_blocks, 1, kMaxVaeBlocks));
  WANLITE_RETURN_IF_ERROR(CheckVaeRange(
      "number of dim_mult", static_cast<int64_t>(config.dim_mult.size()), 1, kMaxLevels));
  for (size_t i = 0; i < config.dim_mult.size(); ++i) {
    const int64_t mult = config.dim_mult[i];
    WANLITE_RETURN_IF_ERROR(
        CheckVaeRange(absl::StrCat("dim_mult[", i, "]"), mult, 1, kMaxVaeChannels));
    WANLITE_RETURN_IF_ERROR(CheckVaeRange(absl::StrCat("base_dim * dim_mult[", i, "]"),
                                          config.base_dim * mult, 1, kMaxVaeChannels));
    // Upsampling halves the width of every level but the widest-resolution one.
    WANLITE_RETURN_IF_ERROR(CheckVaeRange(absl::StrCat("decoder_base_dim * dim_mult[", i, "]"),
                                          config.decoder_base_dim * mult, i == 0 ? 1 : 2,
                                          kMaxVaeChannels));
  }
  WANLITE_RETURN_IF_ERROR(CheckLength("temperal_downsample", config.temporal_downsample.size(),
                                      config.dim_mult.size() - 1, "one less than dim_mult"));
  WANLITE_RETURN_IF_ERROR(CheckSizes("wanlite_encoder", config.encoder_widths, config.encoder_inner,
                                     EncoderLayout(Unpruned(config))));
  WANLITE_RETURN_IF_ERROR(CheckSizes("wanlite_decoder", config.decoder_widths, config.decoder_inner,
                                     DecoderLayout(Unpruned(config))));
  if (config.latents_mean.empty() && config.latents_std.empty()) return absl::OkStatus();
  const size_t z = static_cast<size_t>(config.z_dim);
  WANLITE_RETURN_IF_ERROR(CheckLength("latents_mean", config.latents_mean.size(), z, "z_dim"));
  WANLITE_RETURN_IF_ERROR(CheckLength("latents_std", config.latents_std.size(), z, "z_dim"));
  for (size_t i = 0; i < z; ++i) {
    if (!std::isfinite(config.latents_mean[i])) {
      return absl::InvalidArgumentError(absl::StrCat("VAE config: latents_mean[", i, "] is ",
                                                     config.latents_mean[i], ", must be finite"));
    }
    if (!std::isfinite(config.latents_std[i]) || config.latents_std[i] <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("VAE config: latents_std[", i, "] is ",
                                                     config.latents_std[i],
                                                     ", must be finite and positive"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<VaeConfig> ParseVaeConfig(absl::string_view text) {
  WANLITE_ASSIGN_OR_RETURN(JsonFields json, JsonFields::Parse("VAE config", text));
  bool residual = false;
  int64_t patch_size = 1;
  WANLITE_RETURN_IF_ERROR(json.Bool({"is_residual"}, residual));
  WANLITE_RETURN_IF_ERROR(json.Int({"patch_size"}, patch_size));
  if (residual) {
    return absl::UnimplementedError(
        "VAE config: is_residual is true (the VAE of Wan 2.2 TI2V-5B); only the VAE of Wan 2.1, "
        "with "
        "is_residual false, is built");
  }
  if (patch_size != 1) {
    return absl::UnimplementedError(absl::StrCat(
        "VAE config: patch_size is ", patch_size,
        " (the VAE of Wan 2.2 TI2V-5B); only the VAE of Wan 2.1, without patch_size, is built"));
  }
  VaeConfig config;
  WANLITE_RETURN_IF_ERROR(json.Int({"in_channels"}, config.in_channels));
  WANLITE_RETURN_IF_ERROR(json.Int({"out_channels"}, config.out_channels));
  WANLITE_RETURN_IF_ERROR(json.Int({"base_dim", "dim"}, config.base_dim));
  config.decoder_base_dim = config.base_dim;
  WANLITE_RETURN_IF_ERROR(json.Int({"decoder_base_dim", "dec_dim"}, config.decoder_base_dim));
  WANLITE_RETURN_IF_ERROR(json.Int({"z_dim"}, config.z_dim));
  WANLITE_RETURN_IF_ERROR(json.Ints({"dim_mult"}, config.dim_mult));
  WANLITE_RETURN_IF_ERROR(json.Int({"num_res_blocks"}, config.num_res_blocks));
  WANLITE_RETURN_IF_ERROR(json.Doubles({"attn_scales"}, config.attn_scales));
  // diffusers and the original share the misspelling.
  WANLITE_RETURN_IF_ERROR(
      json.Bools({"temperal_downsample", "temporal_downsample"}, config.temporal_downsample));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_encoder_widths"}, config.encoder_widths));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_encoder_inner"}, config.encoder_inner));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_decoder_widths"}, config.decoder_widths));
  WANLITE_RETURN_IF_ERROR(json.Ints({"wanlite_decoder_inner"}, config.decoder_inner));
  WANLITE_RETURN_IF_ERROR(json.Doubles({"latents_mean"}, config.latents_mean));
  WANLITE_RETURN_IF_ERROR(json.Doubles({"latents_std"}, config.latents_std));
  if (config.latents_mean.empty() && config.latents_std.empty()) {
    if (config.z_dim != 16) {
      return absl::InvalidArgumentError(
          absl::StrCat("VAE config: latents_mean and latents_std are missing and z_dim is ",
                       config.z_dim, "; there are defaults for 16 alone"));
    }
    config.latents_mean.assign(std::begin(kWanLatentsMean), std::end(kWanLatentsMean));
    config.latents_std.assign(std::begin(kWanLatentsStd), std::end(kWanLatentsStd));
  }
  WANLITE_RETURN_IF_ERROR(ValidateVaeConfig(config));
  return config;
}

std::string VaeConfigJson(const VaeConfig& config) {
  const size_t z = static_cast<size_t>(config.z_dim);
  const bool known = !config.latents_mean.empty();
  nlohmann::ordered_json json;
  json["_class_name"] = "AutoencoderKLWan";
  json["attn_scales"] = config.attn_scales;
  json["base_dim"] = config.base_dim;
  json["decoder_base_dim"] = config.decoder_base_dim;
  json["dim_mult"] = config.dim_mult;
  json["dropout"] = 0.0;
  json["in_channels"] = config.in_channels;
  json["is_residual"] = false;
  json["latents_mean"] = known ? config.latents_mean : std::vector<double>(z, 0.0);
  json["latents_std"] = known ? config.latents_std : std::vector<double>(z, 1.0);
  json["num_res_blocks"] = config.num_res_blocks;
  json["out_channels"] = config.out_channels;
  json["patch_size"] = nullptr;
  json["scale_factor_spatial"] = config.spatial_stride();
  json["scale_factor_temporal"] = config.temporal_stride();
  json["temperal_downsample"] = config.temporal_downsample;
  const auto add = [&](const char* field, const std::vector<int64_t>& values) {
    if (!values.empty()) json[field] = values;
  };
  add("wanlite_decoder_inner", config.decoder_inner);
  add("wanlite_decoder_widths", config.decoder_widths);
  add("wanlite_encoder_inner", config.encoder_inner);
  add("wanlite_encoder_widths", config.encoder_widths);
  json["z_dim"] = config.z_dim;
  return json.dump(2) + "\n";
}

}  // namespace wanlite::wan
