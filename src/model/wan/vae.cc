// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/vae.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <map>
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

std::shared_ptr<VaeLayer> MakeLayer(const VaeLayerSpec& spec) {
  switch (spec.kind) {
    case VaeLayerSpec::kResidual:
      return std::make_shared<ResidualBlock>(spec);
    case VaeLayerSpec::kAttention:
      return std::make_shared<FrameAttention>(spec);
    case VaeLayerSpec::kDownsample:
      return std::make_shared<Downsample>(spec);
    case VaeLayerSpec::kUpsample:
      break;
  }
  return std::make_shared<Upsample>(spec);
}

AxisGroup NewGroup(std::string name, const char* kind, int64_t units) {
  AxisGroup group;
  group.name = std::move(name);
  group.kind = kind;
  group.units = units;
  return group;
}

// A convolution that makes the units (rows and bias), and one that reads them.
void Writes(AxisGroup& group, const std::string& layer, int64_t outer = 1) {
  group.refs.push_back({layer + ".weight", /*dim=*/0, 1, AxisRole::kSliced, outer});
  group.refs.push_back({layer + ".bias", /*dim=*/0, 1, AxisRole::kSliced, outer});
}
void Reads(AxisGroup& group, const std::string& layer) {
  group.refs.push_back({layer + ".weight", /*dim=*/1, 1, AxisRole::kSliced});
}
void Normalizes(AxisGroup& group, const std::string& layer) {
  group.refs.push_back({layer + ".gamma", /*dim=*/0, 1, AxisRole::kRmsNormalized});
}

}  // namespace

// Encoder and decoder have the same outline: convolution, layers, then norm, SiLU and convolution.
class VaeHalf : public Module, public nn::Describable {
 public:
  at::Tensor forward(const at::Tensor& x, FrameCache* cache) const {
    at::Tensor y = Begin(x, cache);
    for (size_t i = 0; i < layers_.size(); ++i) y = RunLayer(i, y, cache);
    return Finish(y, cache);
  }
  // The parts of forward().
  at::Tensor Begin(const at::Tensor& x, FrameCache* cache) const {
    return conv_in_->forward(x, cache);
  }
  at::Tensor RunLayer(size_t layer, const at::Tensor& x, FrameCache* cache) const {
    return layers_[layer]->forward(x, cache);
  }
  at::Tensor Finish(const at::Tensor& x, FrameCache* cache) const {
    return conv_out_->forward(at::silu(norm_out_->forward(x)), cache);
  }

  const std::vector<VaeLayerSpec>& layers() const { return layout_.layers; }

  // With the sizes that the tensors have now.
  VaeHalfLayout CurrentLayout() const {
    VaeHalfLayout layout = layout_;
    layout.widths.front() = conv_in_->weight().size(0);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const VaeLayerSpec& spec = layout.layers[i];
      layout.widths[static_cast<size_t>(spec.out_width)] = layers_[i]->out_channels();
      if (spec.inner >= 0) {
        layout.inner[static_cast<size_t>(spec.inner)] = layers_[i]->inner_channels();
      }
    }
    return layout;
  }

  // Each layer is a block. The channels between layers are groups "width.N", those inside a layer
  // are "LAYER.channels".
  void Describe(TopologyBuilder& topology) const override {
    const VaeHalfLayout now = CurrentLayout();
    std::vector<AxisGroup> widths;
    for (size_t i = 0; i < now.widths.size(); ++i) {
      widths.push_back(NewGroup(absl::StrCat("width.", i), "vae.width", now.widths[i]));
    }
    Writes(widths.front(), "conv1");
    for (const VaeLayerSpec& layer : now.layers) {
      topology.Block(layer.path, /*removable=*/false);
      AxisGroup& in = widths[static_cast<size_t>(layer.in_width)];
      AxisGroup& out = widths[static_cast<size_t>(layer.out_width)];
      if (layer.inner < 0) {
        DescribeResampling(layer, in, out);
        continue;
      }
      AxisGroup inner =
          NewGroup(layer.path + ".channels",
                   layer.kind == VaeLayerSpec::kAttention ? "vae.attention" : "vae.channels",
                   now.inner[static_cast<size_t>(layer.inner)]);
      if (layer.kind == VaeLayerSpec::kAttention) {
        Normalizes(in, layer.path + ".norm");
        Reads(in, layer.path + ".to_qkv");
        // Queries, keys and values stand one after the other.
        Writes(inner, layer.path + ".to_qkv", /*outer=*/3);
        Reads(inner, layer.path + ".proj");
        Writes(out, layer.path + ".proj");
      } else {
        Normalizes(in, layer.path + ".residual.0");
        Reads(in, layer.path + ".residual.2");
        Writes(inner, layer.path + ".residual.2");
        Normalizes(inner, layer.path + ".residual.3");
        Reads(inner, layer.path + ".residual.6");
        Writes(out, layer.path + ".residual.6");
        if (layer.shortcut) {
          Reads(in, layer.path + ".shortcut");
          Writes(out, layer.path + ".shortcut");
        }
      }
      topology.Group(std::move(inner));
    }
    Normalizes(widths.back(), "head.0");
    Reads(widths.back(), "head.2");
    for (AxisGroup& group : widths) topology.Group(std::move(group));
  }

 protected:
  VaeHalf(VaeHalfLayout layout, int64_t in_channels, int64_t out_channels)
      : layout_(std::move(layout)) {
    conv_in_ = register_module(
        "conv1", std::make_shared<CausalConv3d>(in_channels, layout_.widths.front(), kCube));
    std::map<std::string, std::shared_ptr<Module>> lists;
    for (const VaeLayerSpec& spec : layout_.layers) {
      const size_t dot = spec.path.find('.');
      const std::string list = spec.path.substr(0, dot);
      if (!lists.contains(list)) {
        lists[list] = register_module(list, std::make_shared<Module>(list));
      }
      layers_.push_back(lists[list]->register_module(spec.path.substr(dot + 1), MakeLayer(spec)));
    }
    const int64_t width = layout_.widths.back();
    const auto head = register_module("head", std::make_shared<Module>("head"));
    norm_out_ = head->register_module("0", std::make_shared<ChannelRmsNorm>(width, 3));
    conv_out_ =
        head->register_module("2", std::make_shared<CausalConv3d>(width, out_channels, kCube));
  }

 private:
  static void DescribeResampling(const VaeLayerSpec& layer, AxisGroup& in, AxisGroup& out) {
    Reads(in, layer.path + ".resample.1");
    Writes(out, layer.path + ".resample.1");
    if (!layer.temporal) return;
    // What frames are made of stands beside a frame that is left as it was.
    AxisGroup& frames = layer.kind == VaeLayerSpec::kUpsample ? in : out;
    Reads(frames, layer.path + ".time_conv");
    // An upsampling one makes an even and an odd frame.
    Writes(frames, layer.path + ".time_conv",
           /*outer=*/layer.kind == VaeLayerSpec::kUpsample ? 2 : 1);
  }

  VaeHalfLayout layout_;  // as built
  std::shared_ptr<CausalConv3d> conv_in_, conv_out_;
  std::vector<std::shared_ptr<VaeLayer>> layers_;
  std::shared_ptr<ChannelRmsNorm> norm_out_;
};

class VaeEncoder : public VaeHalf {
 public:
  explicit VaeEncoder(const VaeConfig& config)
      : VaeHalf(EncoderLayout(config), config.in_channels, 2 * config.z_dim) {}
};

class VaeDecoder : public VaeHalf {
 public:
  explicit VaeDecoder(const VaeConfig& config)
      : VaeHalf(DecoderLayout(config), config.z_dim, config.out_channels) {}
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

at::Tensor Vae::DecodeWhole(const at::Tensor& latents) const { return Run({{"latents", latents}}); }

at::Tensor Vae::DecodeLatents(const at::Tensor& latents) const {
  return DecodeWhole(Denormalize(latents));
}

std::vector<BlockProgram::Step> Vae::Steps() const {
  std::vector<Step> steps;
  steps.push_back({"", {"x"}});
  for (const VaeLayerSpec& layer : decoder_->layers()) {
    steps.push_back({absl::StrCat("decoder.", layer.path),
                     {"x"},
                     /*residual=*/layer.in_width == layer.out_width});
  }
  steps.push_back({"", {"sample"}});
  return steps;
}

std::vector<std::string> Vae::Inputs() const { return {"latents"}; }

std::string Vae::Output() const { return "sample"; }

void Vae::RunStep(size_t step, Values& values) const {
  const size_t layers = decoder_->layers().size();
  TORCH_CHECK(step < layers + 2, "step ", step, " of a program of ", layers + 2);
  if (step == 0) {
    const at::Tensor& latents = ValueOf(values, "latents");
    CheckLatents(latents, config_);
    values["x"] =
        decoder_->Begin(post_quant_conv_->forward(ToParameters(latents), nullptr), nullptr);
    return;
  }
  const at::Tensor& x = ValueOf(values, "x");
  if (step == layers + 1) {
    values["sample"] = decoder_->Finish(x, nullptr).contiguous();
  } else {
    values["x"] = decoder_->RunLayer(step - 1, x, nullptr);
  }
}

VaeConfig Vae::CurrentConfig() const {
  VaeConfig config = config_;
  SetVaeSizes(config, encoder_->CurrentLayout(), decoder_->CurrentLayout());
  return config;
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
  // Always fp32: half precision shows in the picture, and its 0.5 GB are small beside
  // the diffusion model.
  for (const char* part : {"encoder", "decoder", "conv1", "conv2"}) topology.KeepFloat32(part);
}

}  // namespace wanlite::wan
