// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Architecture numbers of the Wan networks, read from the JSON configs that model folders carry.
#ifndef WANLITE_WAN_CONFIG_H_
#define WANLITE_WAN_CONFIG_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite::wan {

// Where rounding happens in a forward pass below fp32.
enum class Numerics {
  kOfficial,   // the residual stream stays fp32 (Wan's own code)
  kDiffusers,  // back to the model dtype after every addition (diffusers)
};

// Diffusion transformer. Defaults are Wan2.2-T2V-A14B (one expert).
struct DitConfig {
  std::array<int64_t, 3> patch_size{1, 2, 2};  // (t, h, w)
  int64_t num_heads = 40;
  int64_t head_dim = 128;
  int64_t in_channels = 16;
  int64_t out_channels = 16;
  int64_t text_dim = 4096;
  int64_t freq_dim = 256;
  int64_t ffn_dim = 13824;
  // Per-block override after structured pruning ("wanlite_ffn_dims", "wanlite_self_attn_heads",
  // "wanlite_cross_attn_heads" in config.json); empty means uniform.
  std::vector<int64_t> ffn_dims;
  std::vector<int64_t> self_attn_heads;
  std::vector<int64_t> cross_attn_heads;
  int64_t num_layers = 40;
  bool cross_attn_norm = true;
  bool qk_norm = true;
  double eps = 1e-6;
  int64_t rope_max_seq_len = 1024;
  int64_t text_len = 512;

  // Width of the residual stream where it is not that of all heads ("wanlite_dim" in config.json);
  // 0: num_heads * head_dim.
  int64_t width = 0;

  int64_t dim() const { return width > 0 ? width : inner_dim(); }  // of the residual stream
  int64_t inner_dim() const { return num_heads * head_dim; }       // of the projected text too
};

// umT5 text encoder. Defaults are umT5-XXL.
struct Umt5Config {
  int64_t vocab_size = 256384;
  int64_t d_model = 4096;
  int64_t d_kv = 64;
  int64_t d_ff = 10240;
  int64_t num_layers = 24;
  int64_t num_heads = 64;
  // Per-block override after structured pruning ("wanlite_ffn_dims"/"wanlite_attn_heads" in
  // config.json); empty means uniform.
  std::vector<int64_t> ffn_dims;
  std::vector<int64_t> attn_heads;
  int64_t num_buckets = 32;    // of relative positions, both directions together
  int64_t max_distance = 128;  // in tokens; all beyond share a bucket
  double eps = 1e-6;
};

// Causal 3-D VAE (Wan 2.1).
struct VaeConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t base_dim = 96;
  int64_t decoder_base_dim = 96;
  int64_t z_dim = 16;
  std::vector<int64_t> dim_mult{1, 2, 4, 4};
  int64_t num_res_blocks = 2;
  std::vector<double> attn_scales;
  std::vector<bool> temporal_downsample{false, true, true};
  std::vector<double> latents_mean;  // [z_dim]
  std::vector<double> latents_std;   // [z_dim]
  // Channels after structured pruning, in forward order ("wanlite_encoder_widths", … in
  // config.json); empty means as the numbers above say. A width is that of features between
  // layers: of the first convolution and of each layer that makes features of its own, not adding
  // to those it gets. Inner channels are those inside of residual blocks and attentions.
  std::vector<int64_t> encoder_widths, encoder_inner;
  std::vector<int64_t> decoder_widths, decoder_inner;

  int64_t spatial_stride() const { return int64_t{1} << (dim_mult.size() - 1); }
  int64_t temporal_stride() const;
};

// Parsers of config.json: diffusers' and the original keys. InvalidArgument names the field that is
// missing or wrong; Unimplemented names the variant (image conditioning, VAE 2.2).
absl::StatusOr<DitConfig> ParseDitConfig(absl::string_view json);
absl::StatusOr<Umt5Config> ParseUmt5Config(absl::string_view json);
absl::StatusOr<VaeConfig> ParseVaeConfig(absl::string_view json);
// The diffusers form.
std::string DitConfigJson(const DitConfig& config);
std::string Umt5ConfigJson(const Umt5Config& config);
std::string VaeConfigJson(const VaeConfig& config);

}  // namespace wanlite::wan

#endif  // WANLITE_WAN_CONFIG_H_
