// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/vae.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/wan/vae_layout.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

using torch::nn::Module;
constexpr std::array<int64_t, 3> kCube{3, 3, 3};
constexpr std::array<int64_t, 3> kPoint{1, 1, 1};
// The reference feeds the encoder this many frames at a time, whatever the temporal stride.
constexpr int64_t kReferenceChunk = 4;

// "0", "1", ... of a list module, with what runs them.
std::vector<std::shared_ptr<VaeLayer>> AddLayers(Module& parent, const std::string& name,
                                                 const std::vector<VaeLayerSpec>& specs) {
  const auto list = parent.register_module(name, std::make_shared<Module>(name));
  std::vector<std::shared_ptr<VaeLayer>> layers;
  for (const VaeLayerSpec& spec : specs) {
    std::shared_ptr<VaeLayer> layer;
    switch (spec.kind) {
      case VaeLayerSpec::kResidual:
        layer = std::make_shared<ResidualBlock>(spec.in_channels, spec.out_channels);
        break;
      case VaeLayerSpec::kAttention:
        layer = std::make_shared<FrameAttention>(spec.in_channels);
        break;
      case VaeLayerSpec::kDownsample:
        layer = std::make_shared<Downsample>(spec.in_channels, spec.temporal);
        break;
      case VaeLayerSpec::kUpsample:
        layer = std::make_shared<Upsample>(spec.in_channels, spec.temporal);
        break;
    }
    list->register_module(std::to_string(layers.size()), layer);
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace

// Encoder and decoder have the same outline: convolution, layers, then norm, SiLU and convolution.
class VaeHalf : public Module {
 public:
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const {
    at::Tensor y = conv_in_->forward(x, cache);
    for (const auto& layer : layers_) y = layer->forward(y, cache);
    return conv_out_->forward(at::silu(norm_out_->forward(y)), cache);
  }

 protected:
  void AddInput(int64_t in_channels, int64_t width) {
    conv_in_ = register_module("conv1", std::make_shared<CausalConv3d>(in_channels, width, kCube));
  }
  void Add(const std::string& name, const std::vector<VaeLayerSpec>& specs) {
    for (auto& layer : AddLayers(*this, name, specs)) layers_.push_back(std::move(layer));
  }
  void AddOutput(int64_t width, int64_t out_channels) {
    const auto head = register_module("head", std::make_shared<Module>("head"));
    norm_out_ = head->register_module("0", std::make_shared<ChannelRmsNorm>(width, 3));
    conv_out_ =
        head->register_module("2", std::make_shared<CausalConv3d>(width, out_channels, kCube));
  }

 private:
  std::shared_ptr<CausalConv3d> conv_in_, conv_out_;
  std::vector<std::shared_ptr<VaeLayer>> layers_;
  std::shared_ptr<ChannelRmsNorm> norm_out_;
};

class VaeEncoder : public VaeHalf {
 public:
  explicit VaeEncoder(const VaeConfig& config) {
    const std::vector<VaeLayerSpec> specs = EncoderLayers(config);
    const int64_t width = specs.back().out_channels;
    AddInput(config.in_channels, config.base_dim);
    Add("downsamples", specs);
    Add("middle", MiddleLayers(width));
    AddOutput(width, 2 * config.z_dim);
  }
};

class VaeDecoder : public VaeHalf {
 public:
  explicit VaeDecoder(const VaeConfig& config) {
    const std::vector<VaeLayerSpec> specs = DecoderLayers(config);
    AddInput(config.z_dim, specs.front().in_channels);
    Add("middle", MiddleLayers(specs.front().in_channels));
    Add("upsamples", specs);
    AddOutput(specs.back().out_channels, config.out_channels);
  }
};

at::Tensor LatentDistribution::Sample(const at::Tensor& noise) const {
  return mean + (0.5 * logvar).exp() * noise;
}

absl::StatusOr<std::shared_ptr<Vae>> Vae::Create(const VaeConfig& config) {
  WANLITE_RETURN_IF_ERROR(ValidateVaeConfig(config));
  std::shared_ptr<Vae> vae;
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] { vae.reset(new Vae(config)); }));
  return vae;
}

Vae::Vae(const VaeConfig& config) : Module("Vae"), config_(config) {
  const int64_t z = config.z_dim;
  encoder_ = register_module("encoder", std::make_shared<VaeEncoder>(config));
  quant_conv_ = register_module("conv1", std::make_shared<CausalConv3d>(2 * z, 2 * z, kPoint));
  post_quant_conv_ = register_module("conv2", std::make_shared<CausalConv3d>(z, z, kPoint));
  decoder_ = register_module("decoder", std::make_shared<VaeDecoder>(config));
}

at::Tensor Vae::ToParameters(const at::Tensor& x) const {
  // Convolutions and norms over channels are faster with the channels innermost; all layers keep
  // the layout of their input.
  return x.to(quant_conv_->weight().options()).contiguous(at::MemoryFormat::ChannelsLast3d);
}

LatentDistribution Vae::Split(const at::Tensor& moments) const {
  const std::vector<at::Tensor> parts = moments.chunk(2, 1);
  return {parts[0].contiguous(), parts[1].clamp(-30.0, 20.0).contiguous()};
}

namespace {

void CheckVideo(const at::Tensor& video, const VaeConfig& config) {
  TORCH_CHECK(video.dim() == 5 && video.size(1) == config.in_channels && video.size(2) > 0,
              "Vae: video must be [B, ", config.in_channels, ", F > 0, H, W], found ",
              video.sizes());
  TORCH_CHECK(std::min(video.size(3), video.size(4)) >= config.spatial_stride(),
              "Vae: frames must be at least ", config.spatial_stride(),
              " pixels high and wide, found ", video.size(3), "x", video.size(4));
}

void CheckLatents(const at::Tensor& latents, const VaeConfig& config) {
  TORCH_CHECK(latents.dim() == 5 && latents.size(1) == config.z_dim && latents.size(2) > 0,
              "Vae: latents must be [B, ", config.z_dim, ", f > 0, h, w], found ", latents.sizes());
}

// Frames per encoder chunk after the first frame.
int64_t ChunkFrames(const VaeConfig& config) {
  return std::max(kReferenceChunk, config.temporal_stride());
}

}  // namespace

LatentDistribution Vae::Encode(const at::Tensor& video) const {
  const at::NoGradGuard no_grad;
  CheckVideo(video, config_);
  const int64_t chunk = ChunkFrames(config_);
  FrameCache cache;
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start == 0 || start + chunk <= video.size(2);) {
    const int64_t frames = start == 0 ? 1 : chunk;
    cache.BeginChunk();
    parts.push_back(encoder_->forward(ToParameters(video.narrow(2, start, frames)), &cache));
    start += frames;
  }
  return Split(quant_conv_->forward(at::cat(parts, 2), nullptr));
}

LatentDistribution Vae::EncodeWhole(const at::Tensor& video) const {
  CheckVideo(video, config_);
  const int64_t chunk = ChunkFrames(config_);
  const int64_t frames = 1 + (video.size(2) - 1) / chunk * chunk;
  const at::Tensor features = encoder_->forward(ToParameters(video.narrow(2, 0, frames)), nullptr);
  return Split(quant_conv_->forward(features, nullptr));
}

void Vae::DecodeFrames(const at::Tensor& latents,
                       const std::function<void(const at::Tensor& frames)>& sink) const {
  const at::NoGradGuard no_grad;
  CheckLatents(latents, config_);
  const at::Tensor x = post_quant_conv_->forward(ToParameters(latents), nullptr);
  FrameCache cache;
  for (int64_t t = 0; t < x.size(2); ++t) {
    cache.BeginChunk();
    sink(decoder_->forward(x.narrow(2, t, 1), &cache).clamp_(-1.0, 1.0).contiguous());
  }
}

at::Tensor Vae::Decode(const at::Tensor& latents) const {
  std::vector<at::Tensor> parts;
  DecodeFrames(latents, [&parts](const at::Tensor& frames) { parts.push_back(frames); });
  return at::cat(parts, 2);
}

at::Tensor Vae::DecodeWhole(const at::Tensor& latents) const {
  CheckLatents(latents, config_);
  return decoder_->forward(post_quant_conv_->forward(ToParameters(latents), nullptr), nullptr)
      .contiguous();
}

namespace {

// values: [z] -> [1, z, 1, ...] beside `like`.
at::Tensor PerChannel(const std::vector<double>& values, const at::Tensor& like) {
  std::vector<int64_t> shape(like.dim(), 1);
  shape[1] = static_cast<int64_t>(values.size());
  return at::tensor(values, at::kDouble).to(like.options()).reshape(shape);
}

void CheckChannels(const at::Tensor& latents, const VaeConfig& config) {
  TORCH_CHECK(latents.dim() >= 2 && latents.size(1) == config.z_dim, "Vae: latents must be [B, ",
              config.z_dim, ", ...], found ", latents.sizes());
}

}  // namespace

at::Tensor Vae::Normalize(const at::Tensor& latents) const {
  CheckChannels(latents, config_);
  if (config_.latents_mean.empty()) return latents;
  return (latents - PerChannel(config_.latents_mean, latents)) /
         PerChannel(config_.latents_std, latents);
}

at::Tensor Vae::Denormalize(const at::Tensor& latents) const {
  CheckChannels(latents, config_);
  if (config_.latents_mean.empty()) return latents;
  return latents * PerChannel(config_.latents_std, latents) +
         PerChannel(config_.latents_mean, latents);
}

absl::Status Vae::SetLatentStatistics(std::vector<double> mean, std::vector<double> std) {
  VaeConfig config = config_;
  config.latents_mean = std::move(mean);
  config.latents_std = std::move(std);
  WANLITE_RETURN_IF_ERROR(ValidateVaeConfig(config));
  config_ = std::move(config);
  return absl::OkStatus();
}

void Vae::InitParameters(uint64_t seed) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  // A bias is bounded by the fan-in of its weight, which is registered just before it.
  double bound = 0;
  for (auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& parameter = item.value();
    const auto ends_with = [&name](const std::string& tail) {
      return name.size() >= tail.size() &&
             name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
    };
    if (ends_with("gamma")) {
      parameter.fill_(1.0);
      continue;
    }
    if (ends_with("weight")) {
      bound = 1.0 / std::sqrt(static_cast<double>(parameter[0].numel()));
    }
    if (ends_with("proj.weight")) {
      parameter.zero_();
      continue;
    }
    parameter.uniform_(-bound, bound, generator);
  }
}

void Vae::Describe(TopologyBuilder& topology) const {
  // One piece, always fp32: half precision shows in the picture, and its 0.5 GB are small beside
  // the diffusion model.
  for (const char* part : {"encoder", "decoder", "conv1", "conv2"}) topology.KeepFloat32(part);
}

}  // namespace wanlite::wan
