// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The causal 3-D video VAE of Wan 2.1, as diffusers' AutoencoderKLWan computes it. Modules carry
// the original Wan names ("encoder.downsamples.0.residual.0.gamma").
//
// Letters: B batch, F frames, H and W pixels, z = z_dim, f, h, w the sizes in latent units:
// f = 1 + (F - 1) / temporal_stride, h = H / spatial_stride, w = W / spatial_stride (4, 8, 8 for
// Wan 2.1).
#ifndef WANLITE_SRC_MODEL_WAN_VAE_H_
#define WANLITE_SRC_MODEL_WAN_VAE_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/model/wan/vae_blocks.h"
#include "wanlite/alignment.h"
#include "wanlite/block_program.h"
#include "wanlite/nn.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {

class VaeEncoder;
class VaeDecoder;

// A Gaussian for each latent value; both [B, z, f, h, w]. The mean is the latent that Wan uses.
struct LatentDistribution {
  at::Tensor mean;
  at::Tensor logvar;  // within [-30, 20]
  // mean + exp(logvar / 2) * noise; noise: like mean.
  at::Tensor Sample(const at::Tensor& noise) const;
};

class Vae : public torch::nn::Module,
            public nn::Describable,
            public BlockProgram,
            public LatentDecoder {
 public:
  // InvalidArgument naming the field for a config that describes no network. Parameters are not
  // initialised; under an nn::HollowGuard they take no memory.
  static absl::StatusOr<std::shared_ptr<Vae>> Create(const VaeConfig& config);

  // For use: frames go through in chunks, so memory does not grow with their number but for the
  // result, and no gradients are recorded. Computes in the dtype and on the device of the
  // parameters.
  //
  // video: floating [B, in_channels, F, H, W], values in [-1, 1], H and W at least spatial_stride.
  // As in the reference, frames beyond 1 + 4k are left out.
  LatentDistribution Encode(const at::Tensor& video) const;
  // latents: floating [B, z, f, h, w], not normalised -> [B, out_channels, F, H, W] in [-1, 1] with
  // F = 1 + (f - 1) * temporal_stride.
  at::Tensor Decode(const at::Tensor& latents) const;
  // The same, handing over frames as they come: [B, out_channels, 1 or temporal_stride, H, W].
  void DecodeFrames(const at::Tensor& latents,
                    const std::function<void(const at::Tensor& frames)>& sink) const;

  // For training: the whole sequence in one go, recording gradients. Equal to Encode() and, up to
  // its clamp to [-1, 1], to Decode(). Every activation is kept for the backward pass.
  LatentDistribution EncodeWhole(const at::Tensor& video) const;
  at::Tensor DecodeWhole(const at::Tensor& latents) const;
  // DecodeWhole(Denormalize(latents)).
  at::Tensor DecodeLatents(const at::Tensor& latents) const override;

  // The diffusion model sees (latents - latents_mean) / latents_std, per channel. latents: [B, z,
  // ...]. Without statistics in the config both are the identity.
  at::Tensor Normalize(const at::Tensor& latents) const;
  at::Tensor Denormalize(const at::Tensor& latents) const;
  // mean, std: [z_dim] each, std > 0; InvalidArgument otherwise. Becomes part of config().
  absl::Status SetLatentStatistics(std::vector<double> mean, std::vector<double> std);

  // Values to start training from, the same for the same seed: convolutions as torch's default
  // (uniform in +-1/sqrt(fan in)), gammas one, the attentions' output projections zero.
  void InitParameters(uint64_t seed);

  const VaeConfig& config() const { return config_; }
  // The config again after structural passes: channels read from the tensors.
  VaeConfig CurrentConfig() const;
  void Describe(TopologyBuilder& topology) const override;

  // The steps of DecodeWhole(): "latents" to "sample", by way of "x". Frames that stream leave
  // their history in caches, which no step has a value for.
  std::vector<Step> Steps() const override;
  std::vector<std::string> Inputs() const override;
  std::string Output() const override;
  void RunStep(size_t step, Values& values) const override;

 private:
  explicit Vae(const VaeConfig& config);
  at::Tensor ToParameters(const at::Tensor& x) const;
  LatentDistribution Split(const at::Tensor& moments) const;

  VaeConfig config_;
  std::shared_ptr<VaeEncoder> encoder_;
  std::shared_ptr<CausalConv3d> quant_conv_;       // "conv1"
  std::shared_ptr<CausalConv3d> post_quant_conv_;  // "conv2"
  std::shared_ptr<VaeDecoder> decoder_;
};

// What Create() and the config parser check.
absl::Status ValidateVaeConfig(const VaeConfig& config);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_VAE_H_
