// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which layers a VAE config stands for. The modules are built from these lists and the diffusers
// names are derived from them.
#ifndef WANLITE_SRC_MODEL_WAN_VAE_LAYOUT_H_
#define WANLITE_SRC_MODEL_WAN_VAE_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "wanlite/wan/config.h"

namespace wanlite::wan {

struct VaeLayerSpec {
  enum Kind { kResidual, kAttention, kDownsample, kUpsample };
  Kind kind = kResidual;
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  bool temporal = false;  // of the resampling layers
  int64_t level = 0;      // index into dim_mult, in forward order
};

// encoder.downsamples: per level num_res_blocks residual blocks, an attention after each where the
// level's scale (1, 1/2, 1/4, ...) is in attn_scales, and a Downsample unless it is the last level.
std::vector<VaeLayerSpec> EncoderLayers(const VaeConfig& config);
// decoder.upsamples: per level num_res_blocks + 1 residual blocks and an Upsample unless it is the
// last level. Levels run backwards through dim_mult. attn_scales has no effect here, as in
// diffusers.
std::vector<VaeLayerSpec> DecoderLayers(const VaeConfig& config);
// encoder.middle and decoder.middle.
std::vector<VaeLayerSpec> MiddleLayers(int64_t channels);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_VAE_LAYOUT_H_
