// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The Wan diffusion transformer: from noisy latents, a timestep and a text embedding to a velocity.
#ifndef WANLITE_SRC_MODEL_WAN_DIT_H_
#define WANLITE_SRC_MODEL_WAN_DIT_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/model/wan/dit_block.h"
#include "src/model/wan/rope.h"
#include "wanlite/block_program.h"
#include "wanlite/input_scaling.h"
#include "wanlite/nn.h"
#include "wanlite/time_path.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {

// Tensors carry the original Wan names: patch_embedding.{weight,bias}, text_embedding.{0,2}.*,
// time_embedding.{0,2}.*, time_projection.1.*, blocks.N.* (see DitBlock), head.head.*,
// head.modulation. Sizes that pruning changes are read from the tensors. Under an nn::HollowGuard
// the constructor takes no memory. Values are not initialised: load them or call InitParameters().
//
// The compute dtype is that of patch_embedding.weight. Concurrent calls of forward() are safe.
class Dit : public torch::nn::Module,
            public nn::Describable,
            public BlockProgram,
            public InputScalable,
            public TimeConditioned {
 public:
  explicit Dit(const DitConfig& config, at::ScalarType dtype = at::kFloat);

  // The velocity v = noise - data of the flow x_t = (1 - sigma) data + sigma noise.
  //   hidden_states          floating [batch, in_channels, frames, height, width]; frames, height
  //   and
  //                          width are multiples of the patch size
  //   timestep               int64 or floating [batch], or one per token: [batch, tokens]
  //   encoder_hidden_states  floating [batch, text tokens, text_dim], padded as the model was
  //   trained
  //                          (zero rows up to text_len take part in attention)
  // Inputs are cast to the compute dtype. Returns [batch, out_channels, frames, height, width] in
  // the compute dtype, or fp32 with Numerics::kOfficial. Throws c10::Error on a shape that does not
  // fit.
  at::Tensor forward(const at::Tensor& hidden_states, const at::Tensor& timestep,
                     const at::Tensor& encoder_hidden_states) const;

  // In fp32 the two modes differ only in the rounding of the timestep's frequencies (kOfficial
  // builds them in float64, as Wan's code does; kDiffusers in fp32).
  Numerics numerics() const { return numerics_; }
  void set_numerics(Numerics numerics) { numerics_ = numerics; }

  // As built; use the block accessors for sizes that pruning changes.
  const DitConfig& config() const { return config_; }
  at::ScalarType compute_dtype() const;
  int64_t width() const { return patch_weight_.size(0); }  // of the residual stream
  int64_t num_blocks() const { return static_cast<int64_t>(blocks_->size()); }
  const DitBlock& block(int64_t index) const { return blocks_->at<DitBlock>(index); }

  // Fills every parameter for training from scratch, as Wan's code does: Xavier-uniform linears
  // with zero biases, N(0, 0.02) text and time embeddings, a zero head. Equal seeds give equal
  // values.
  void InitParameters(uint64_t seed);
  // The same of one parameter by its name.
  static void InitParameter(const std::string& name, const at::Tensor& value,
                            const at::Generator& generator);

  void Describe(TopologyBuilder& topology) const override;
  // In each block the affine norm before cross-attention, and values, which attention mixes channel
  // by channel. The modulated norms and the projected text for all blocks together: the time
  // projection and the text embedding are theirs in common.
  std::vector<InputScaling> InputScalings() const override;

  // time_embedding and time_projection.
  std::vector<std::string> TimeLinears() const override;
  void RunTimePath(const at::Tensor& timesteps) const override;

  // The steps of forward(), with its arguments as values: embeddings ("x": the residual stream,
  // "context": the projected text, "time" and "head_time", "rotary"), each block (rewrites "x"),
  // head ("sample").
  std::vector<Step> Steps() const override;
  std::vector<std::string> Inputs() const override;
  std::string Output() const override;
  void RunStep(size_t step, Values& values) const override;

 private:
  // The residual stream through all blocks: an inexact group, as layer norms reduce over it.
  void DescribeWidth(TopologyBuilder& topology) const;
  // Frames, height and width in tokens.
  std::array<int64_t, 3> GridOf(const at::Tensor& hidden_states) const;
  void Embed(Values& values) const;
  // Of timesteps [n]: [n, dim], and for the blocks [n, 6 * dim].
  struct EmbeddedTime {
    at::Tensor time, block_time;
  };
  EmbeddedTime EmbedTime(const at::Tensor& timesteps) const;
  void ApplyHead(Values& values) const;
  // [batch, channels, frames, height, width] -> [batch, tokens, dim], tokens frame-major.
  at::Tensor EmbedPatches(const at::Tensor& x) const;
  // [batch, tokens, features] -> [batch, channels, frames, height, width] for a grid of tokens.
  at::Tensor Unpatchify(const at::Tensor& x, const std::array<int64_t, 3>& grid) const;

  DitConfig config_;
  Numerics numerics_ = Numerics::kDiffusers;
  RotaryEmbedding rotary_;
  std::shared_ptr<torch::nn::Module> patch_embedding_;
  at::Tensor patch_weight_;  // [dim, in_channels, p_t, p_h, p_w]
  at::Tensor patch_bias_;    // [dim]
  std::shared_ptr<TwoLinears> text_embedding_, time_embedding_;
  std::shared_ptr<nn::Linear> time_projection_, head_;
  torch::nn::ModuleList blocks_;
  at::Tensor head_modulation_;  // [1, 2, dim]
};

// Sinusoidal features of timesteps: cos(t f_i) for i < half, then sin(t f_i), f_i =
// 10000^(-i/half), half = channels/2; an odd channel count is padded with a zero. timestep: [n];
// returns fp32 [n, channels].
at::Tensor TimestepFeatures(const at::Tensor& timestep, int64_t channels, Numerics numerics);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_DIT_H_
