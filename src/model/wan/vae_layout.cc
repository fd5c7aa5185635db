// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/vae_layout.h"

#include <algorithm>

namespace wanlite::wan {

std::vector<VaeLayerSpec> EncoderLayers(const VaeConfig& config) {
  std::vector<VaeLayerSpec> layers;
  const int64_t levels = static_cast<int64_t>(config.dim_mult.size());
  int64_t width = config.base_dim;
  double scale = 1.0;
  for (int64_t level = 0; level < levels; ++level) {
    const int64_t out = config.base_dim * config.dim_mult[level];
    const bool attention = std::find(config.attn_scales.begin(), config.attn_scales.end(), scale) !=
                           config.attn_scales.end();
    for (int64_t block = 0; block < config.num_res_blocks; ++block) {
      layers.push_back({VaeLayerSpec::kResidual, width, out, false, level});
      if (attention) layers.push_back({VaeLayerSpec::kAttention, out, out, false, level});
      width = out;
    }
    if (level + 1 < levels) {
      layers.push_back(
          {VaeLayerSpec::kDownsample, out, out, config.temporal_downsample[level], level});
      scale /= 2.0;
    }
  }
  return layers;
}

std::vector<VaeLayerSpec> DecoderLayers(const VaeConfig& config) {
  std::vector<VaeLayerSpec> layers;
  const int64_t levels = static_cast<int64_t>(config.dim_mult.size());
  int64_t width = config.decoder_base_dim * config.dim_mult.back();
  for (int64_t level = 0; level < levels; ++level) {
    const int64_t out = config.decoder_base_dim * config.dim_mult[levels - 1 - level];
    for (int64_t block = 0; block <= config.num_res_blocks; ++block) {
      layers.push_back({VaeLayerSpec::kResidual, width, out, false, level});
      width = out;
    }
    if (level + 1 < levels) {
      const bool temporal = config.temporal_downsample[levels - 2 - level];
      layers.push_back({VaeLayerSpec::kUpsample, out, out / 2, temporal, level});
      width = out / 2;
    }
  }
  return layers;
}

std::vector<VaeLayerSpec> MiddleLayers(int64_t channels) {
  return {{VaeLayerSpec::kResidual, channels, channels, false, 0},
          {VaeLayerSpec::kAttention, channels, channels, false, 0},
          {VaeLayerSpec::kResidual, channels, channels, false, 0}};
}

}  // namespace wanlite::wan
