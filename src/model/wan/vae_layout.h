// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which layers a VAE config stands for. The modules are built from these lists and the diffusers
// names are derived from them.
#ifndef WANLITE_SRC_MODEL_WAN_VAE_LAYOUT_H_
#define WANLITE_SRC_MODEL_WAN_VAE_LAYOUT_H_

#include <cstdint>
#include <string>
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
  std::string path = {};  // in its half: "downsamples.0"
  // Of residual blocks: whether a convolution stands on the shortcut. Decided before pruning, which
  // may make the widths equal.
  bool shortcut = false;
  int64_t inner_channels = 0;   // of residual blocks and attentions
  int64_t published_inner = 0;  // before pruning; what an attention's scores are scaled by
  // Indices of the widths that it reads and writes; the same where it adds to what it gets.
  int64_t in_width = 0;
  int64_t out_width = 0;
  int64_t inner = -1;  // index of inner_channels
};

// Encoder or decoder: the first convolution makes features of widths.front() channels, the last one
// reads those of widths.back().
struct VaeHalfLayout {
  std::vector<VaeLayerSpec> layers;  // in forward order
  std::vector<int64_t> widths;
  std::vector<int64_t> inner;
};

// downsamples: per level num_res_blocks residual blocks, an attention after each where the level's
// scale (1, 1/2, 1/4, ...) is in attn_scales, and a Downsample unless it is the last level. Then
// middle: residual block, attention, residual block.
VaeHalfLayout EncoderLayout(const VaeConfig& config);
// middle, then upsamples: per level num_res_blocks + 1 residual blocks and an Upsample unless it is
// the last level. Levels run backwards through dim_mult. attn_scales has no effect here, as in
// diffusers.
VaeHalfLayout DecoderLayout(const VaeConfig& config);

// Lists the channels of these layouts in the config where they are not those of its other numbers.
void SetVaeSizes(VaeConfig& config, const VaeHalfLayout& encoder, const VaeHalfLayout& decoder);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_VAE_LAYOUT_H_
