// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/vae_names.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/model/wan/block_edits.h"
#include "src/model/wan/vae.h"
#include "src/model/wan/vae_layout.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

using NameMap = std::map<std::string, std::string>;

// Leaf modules inside a layer; attention and resampling call theirs the same in both schemes.
void AddLayer(VaeLayerSpec::Kind kind, const std::string& original, const std::string& diffusers,
              NameMap& names) {
  if (kind == VaeLayerSpec::kResidual) {
    names[original + ".residual.0"] = diffusers + ".norm1";
    names[original + ".residual.2"] = diffusers + ".conv1";
    names[original + ".residual.3"] = diffusers + ".norm2";
    names[original + ".residual.6"] = diffusers + ".conv2";
    names[original + ".shortcut"] = diffusers + ".conv_shortcut";
  } else if (kind == VaeLayerSpec::kAttention) {
    for (const char* leaf : {".norm", ".to_qkv", ".proj"}) {
      names[original + leaf] = diffusers + leaf;
    }
  } else {
    for (const char* leaf : {".resample.1", ".time_conv"}) {
      names[original + leaf] = diffusers + leaf;
    }
  }
}

void AddEnds(const std::string& half, NameMap& names) {
  names[half + ".conv1"] = half + ".conv_in";
  AddLayer(VaeLayerSpec::kResidual, half + ".middle.0", half + ".mid_block.resnets.0", names);
  AddLayer(VaeLayerSpec::kAttention, half + ".middle.1", half + ".mid_block.attentions.0", names);
  AddLayer(VaeLayerSpec::kResidual, half + ".middle.2", half + ".mid_block.resnets.1", names);
  names[half + ".head.0"] = half + ".norm_out";
  names[half + ".head.2"] = half + ".conv_out";
}

}  // namespace

std::map<std::string, std::string> VaeModuleNames(const VaeConfig& config) {
  NameMap names;
  names["conv1"] = "quant_conv";
  names["conv2"] = "post_quant_conv";
  AddEnds("encoder", names);
  AddEnds("decoder", names);
  // The encoder's layers are one list in both schemes; the middle is named above.
  for (const VaeLayerSpec& layer : EncoderLayout(config).layers) {
    absl::string_view number = layer.path;
    if (!absl::ConsumePrefix(&number, "downsamples.")) continue;
    AddLayer(layer.kind, absl::StrCat("encoder.", layer.path),
             absl::StrCat("encoder.down_blocks.", number), names);
  }
  // diffusers groups the decoder's by level, and counts residual blocks and upsamplers apart.
  int64_t level = 0, residual = 0;
  for (const VaeLayerSpec& layer : DecoderLayout(config).layers) {
    if (!absl::StartsWith(layer.path, "upsamples.")) continue;
    if (layer.level != level) residual = 0;
    level = layer.level;
    const std::string block = absl::StrCat("decoder.up_blocks.", level);
    AddLayer(layer.kind, absl::StrCat("decoder.", layer.path),
             layer.kind == VaeLayerSpec::kUpsample ? block + ".upsamplers.0"
                                                   : absl::StrCat(block, ".resnets.", residual++),
             names);
  }
  return names;
}

TensorNames VaeTensorNames(const VaeConfig& config) {
  return [names = VaeModuleNames(config)](const std::string& internal_name) {
    const size_t dot = internal_name.rfind('.');
    if (dot == std::string::npos) return internal_name;
    const auto it = names.find(internal_name.substr(0, dot));
    return it == names.end() ? internal_name : it->second + internal_name.substr(dot);
  };
}

std::string VaeToDiffusers(const VaeConfig& config, const std::string& internal_name) {
  return VaeTensorNames(config)(internal_name);
}

namespace {

// Groups of a half by their names, as VaeHalf describes them.
void AddSizes(const std::string& half, VaeHalfLayout& layout,
              std::map<std::string, int64_t*>& sizes) {
  for (size_t i = 0; i < layout.widths.size(); ++i) {
    sizes[absl::StrCat(half, ".width.", i)] = &layout.widths[i];
  }
  for (const VaeLayerSpec& layer : layout.layers) {
    if (layer.inner < 0) continue;
    sizes[absl::StrCat(half, ".", layer.path, ".channels")] =
        &layout.inner[static_cast<size_t>(layer.inner)];
  }
}

absl::StatusOr<std::string> EditVaeConfig(absl::string_view config_json,
                                          const StructureEdit& edit) {
  WANLITE_ASSIGN_OR_RETURN(VaeConfig config, ParseVaeConfig(config_json));
  VaeHalfLayout encoder = EncoderLayout(config), decoder = DecoderLayout(config);
  std::map<std::string, int64_t*> sizes;
  AddSizes("encoder", encoder, sizes);
  AddSizes("decoder", decoder, sizes);
  int64_t no_blocks = 0;
  WANLITE_RETURN_IF_ERROR(EditBlockSizes(edit, &no_blocks, {}, sizes));
  SetVaeSizes(config, encoder, decoder);
  WANLITE_RETURN_IF_ERROR(ValidateVaeConfig(config));
  return VaeConfigJson(config);
}

}  // namespace

Architecture VaeArchitecture() {
  Architecture architecture;
  architecture.name = "AutoencoderKLWan";
  architecture.role = ComponentRole::kAutoencoder;
  architecture.build =
      [](absl::string_view config_json) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const VaeConfig config, ParseVaeConfig(config_json));
    WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<Vae> vae, Vae::Create(config));
    return std::shared_ptr<torch::nn::Module>(std::move(vae));
  };
  architecture.names = [](absl::string_view config_json) -> absl::StatusOr<TensorNames> {
    WANLITE_ASSIGN_OR_RETURN(const VaeConfig config, ParseVaeConfig(config_json));
    return VaeTensorNames(config);
  };
  architecture.normalize_config = [](absl::string_view config_json) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(const VaeConfig config, ParseVaeConfig(config_json));
    return VaeConfigJson(config);
  };
  // Training sets its latent statistics.
  architecture.config_of = [](absl::string_view,
                              const torch::nn::Module& module) -> absl::StatusOr<std::string> {
    const Vae* vae = dynamic_cast<const Vae*>(&module);
    if (vae == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("AutoencoderKLWan: the module is a ", module.name(), ", must be a Vae"));
    }
    return VaeConfigJson(vae->CurrentConfig());
  };
  architecture.edit_config = EditVaeConfig;
  architecture.exportable = [](absl::string_view config_json, FolderLayout) -> absl::Status {
    WANLITE_ASSIGN_OR_RETURN(const VaeConfig config, ParseVaeConfig(config_json));
    const std::pair<const char*, const std::vector<int64_t>*> own[] = {
        {"wanlite_encoder_widths", &config.encoder_widths},
        {"wanlite_encoder_inner", &config.encoder_inner},
        {"wanlite_decoder_widths", &config.decoder_widths},
        {"wanlite_decoder_inner", &config.decoder_inner}};
    for (const auto& [field, values] : own) {
      if (values->empty()) continue;
      return absl::FailedPreconditionError(
          absl::StrCat(field, ": its layers have numbers of channels of their own, which other ",
                       "programs cannot load"));
    }
    return absl::OkStatus();
  };
  // The channels that it was published with.
  architecture.padded_config = [](absl::string_view config_json,
                                  int64_t) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(VaeConfig config, ParseVaeConfig(config_json));
    config.encoder_widths.clear();
    config.encoder_inner.clear();
    config.decoder_widths.clear();
    config.decoder_inner.clear();
    WANLITE_RETURN_IF_ERROR(ValidateVaeConfig(config));
    return VaeConfigJson(config);
  };
  architecture.recognizes = [](const std::vector<std::string>& names) {
    const auto has = [&names](const std::string& name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    // The VAE of Wan 2.2 TI2V-5B has more levels of names in its encoder.
    return (has("encoder.downsamples.0.residual.0.gamma") &&
            has("decoder.middle.1.to_qkv.weight") && has("conv1.weight") && has("conv2.weight")) ||
           (has("encoder.down_blocks.0.norm1.gamma") &&
            has("decoder.mid_block.attentions.0.to_qkv.weight") && has("quant_conv.weight") &&
            has("post_quant_conv.weight"));
  };
  architecture.config_keys = {"attn_scales",
                              "base_dim",
                              "clip_output",
                              "dec_dim",
                              "decoder_base_dim",
                              "dim",
                              "dim_mult",
                              "dropout",
                              "dtype",
                              "in_channels",
                              "is_residual",
                              "latents_mean",
                              "latents_std",
                              "num_res_blocks",
                              "out_channels",
                              "patch_size",
                              "scale_factor_spatial",
                              "scale_factor_temporal",
                              "temperal_downsample",
                              "temporal_downsample",
                              "torch_dtype",
                              "wanlite_decoder_inner",
                              "wanlite_decoder_widths",
                              "wanlite_encoder_inner",
                              "wanlite_encoder_widths",
                              "z_dim"};
  return architecture;
}

}  // namespace wanlite::wan
