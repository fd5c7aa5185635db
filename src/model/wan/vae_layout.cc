// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/vae_layout.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace wanlite::wan {
namespace {

class LayoutBuilder {
 public:
  // Paths count from 0 in each list.
  void BeginList(std::string list) {
    list_ = std::move(list);
    count_ = 0;
  }
  void Add(VaeLayerSpec::Kind kind, int64_t in, int64_t out, int64_t level, bool temporal = false) {
    if (layout_.widths.empty()) layout_.widths.push_back(in);
    VaeLayerSpec layer;
    layer.kind = kind;
    layer.temporal = temporal;
    layer.level = level;
    layer.path = absl::StrCat(list_, ".", count_++);
    layer.shortcut = kind == VaeLayerSpec::kResidual && in != out;
    layer.in_width = static_cast<int64_t>(layout_.widths.size()) - 1;
    const bool adds =
        kind == VaeLayerSpec::kAttention || (kind == VaeLayerSpec::kResidual && !layer.shortcut);
    if (!adds) layout_.widths.push_back(out);
    layer.out_width = static_cast<int64_t>(layout_.widths.size()) - 1;
    if (kind == VaeLayerSpec::kResidual || kind == VaeLayerSpec::kAttention) {
      layer.inner = static_cast<int64_t>(layout_.inner.size());
      layer.published_inner = out;
      layout_.inner.push_back(out);
    }
    layout_.layers.push_back(std::move(layer));
  }
  void AddMiddle(int64_t channels) {
    BeginList("middle");
    for (const auto kind :
         {VaeLayerSpec::kResidual, VaeLayerSpec::kAttention, VaeLayerSpec::kResidual}) {
      Add(kind, channels, channels, 0);
    }
  }
  // Sets the channels of all layers, by the pruned numbers where there are any.
  VaeHalfLayout Build(const std::vector<int64_t>& widths, const std::vector<int64_t>& inner) {
    if (widths.size() == layout_.widths.size()) layout_.widths = widths;
    if (inner.size() == layout_.inner.size()) layout_.inner = inner;
    for (VaeLayerSpec& layer : layout_.layers) {
      layer.in_channels = layout_.widths[static_cast<size_t>(layer.in_width)];
      layer.out_channels = layout_.widths[static_cast<size_t>(layer.out_width)];
      if (layer.inner >= 0) {
        layer.inner_channels = layout_.inner[static_cast<size_t>(layer.inner)];
      }
    }
    return std::move(layout_);
  }

 private:
  VaeHalfLayout layout_;
  std::string list_;
  int64_t count_ = 0;
};

}  // namespace

VaeHalfLayout EncoderLayout(const VaeConfig& config) {
  LayoutBuilder layout;
  layout.BeginList("downsamples");
  const int64_t levels = static_cast<int64_t>(config.dim_mult.size());
  int64_t width = config.base_dim;
  double scale = 1.0;
  for (int64_t level = 0; level < levels; ++level) {
    const int64_t out = config.base_dim * config.dim_mult[level];
    const bool attention = std::find(config.attn_scales.begin(), config.attn_scales.end(), scale) !=
                           config.attn_scales.end();
    for (int64_t block = 0; block < config.num_res_blocks; ++block) {
      layout.Add(VaeLayerSpec::kResidual, width, out, level);
      if (attention) layout.Add(VaeLayerSpec::kAttention, out, out, level);
      width = out;
    }
    if (level + 1 < levels) {
      layout.Add(VaeLayerSpec::kDownsample, out, out, level, config.temporal_downsample[level]);
      scale /= 2.0;
    }
  }
  layout.AddMiddle(width);
  return layout.Build(config.encoder_widths, config.encoder_inner);
}

VaeHalfLayout DecoderLayout(const VaeConfig& config) {
  LayoutBuilder layout;
  const int64_t levels = static_cast<int64_t>(config.dim_mult.size());
  int64_t width = config.decoder_base_dim * config.dim_mult.back();
  layout.AddMiddle(width);
  layout.BeginList("upsamples");
  for (int64_t level = 0; level < levels; ++level) {
    const int64_t out = config.decoder_base_dim * config.dim_mult[levels - 1 - level];
    for (int64_t block = 0; block <= config.num_res_blocks; ++block) {
      layout.Add(VaeLayerSpec::kResidual, width, out, level);
      width = out;
    }
    if (level + 1 < levels) {
      const bool temporal = config.temporal_downsample[levels - 2 - level];
      layout.Add(VaeLayerSpec::kUpsample, out, out / 2, level, temporal);
      width = out / 2;
    }
  }
  return layout.Build(config.decoder_widths, config.decoder_inner);
}

}  // namespace wanlite::wan
