// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/video_trunk.h"

#include <ATen/CPUGeneratorImpl.h>

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/digits/render_clips.h"
#include "src/train/seeded_normal.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite::digits {
namespace {

struct LayerShape {
  int64_t in, out;  // in units of the width; 0: the three colour channels
  std::array<int64_t, 3> stride;
};
constexpr LayerShape kLayers[] = {
    {0, 1, {2, 1, 1}}, {1, 2, {1, 2, 2}}, {2, 4, {2, 2, 2}}, {4, 4, {1, 1, 1}}, {4, 6, {2, 2, 2}}};

enum TrunkStream : uint64_t {
  kTrunkClips = 1,
  kTrunkNoise = 2,
  kTrunkBrightness = 3,
  kTrunkWarp = 4
};

}  // namespace

absl::Status VideoTrunk::CheckWidth(int64_t width) {
  if (width >= kNormGroups && width % kNormGroups == 0 && width <= kMaxWidth) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("width is ", width, ", but must be a multiple of ",
                                                 kNormGroups, " up to ", kMaxWidth));
}

VideoTrunk::VideoTrunk(int64_t width) : width_(width) {
  auto list = register_module("layers", std::make_shared<torch::nn::Module>());
  int index = 0;
  for (const LayerShape& shape : kLayers) {
    auto node = list->register_module(absl::StrCat(index++), std::make_shared<torch::nn::Module>());
    const int64_t in = shape.in == 0 ? 3 : shape.in * width, out = shape.out * width;
    Layer layer;
    layer.weight = node->register_parameter("weight", nn::NewTensor({out, in, 3, 3, 3}));
    layer.bias = node->register_parameter("bias", nn::NewTensor({out}));
    layer.gain = node->register_parameter("gain", nn::NewTensor({out}));
    layer.offset = node->register_parameter("offset", nn::NewTensor({out}));
    layer.stride.assign(shape.stride.begin(), shape.stride.end());
    layers_.push_back(std::move(layer));
  }
}

at::Tensor VideoTrunk::Features(const at::Tensor& video) const {
  TORCH_CHECK(video.dim() == 5 && video.size(1) == 3 && video.size(2) >= kMinFrames &&
                  video.size(3) >= 32 && video.size(4) >= 32,
              "video must be [B, 3, F >= 5, H >= 32, W >= 32], found ", video.sizes());
  // Scans have 8x8 pixels; half the resolution still shows all of them.
  at::Tensor x = at::avg_pool3d(video, {1, 2, 2});
  for (const Layer& layer : layers_) {
    x = at::conv3d(x, layer.weight, layer.bias, layer.stride, /*padding=*/{1, 1, 1});
    x = at::silu(at::group_norm(x, kNormGroups, layer.gain, layer.offset));
  }
  return at::cat({x.mean({2, 3, 4}), x.amax({2, 3, 4})}, 1);
}

void VideoTrunk::InitAll(uint64_t seed) {
  at::NoGradGuard no_grad;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (auto& item : named_parameters()) {
    at::Tensor& value = item.value();
    if (value.dim() > 1) {
      const double fan_in = static_cast<double>(value[0].numel());
      value.normal_(0.0, std::sqrt(2.0 / fan_in), generator);
    } else {
      value.fill_(item.key().find("gain") != std::string::npos ? 1.0 : 0.0);
    }
  }
}

ClipBatch NoisyClips(const DigitScans& scans, const ClipGeometry& geometry, int64_t batch,
                     int64_t step, int part, int parts, uint64_t seed, double warp,
                     at::Device device) {
  ClipBatch result;
  std::vector<float> brightness, noise_scale;
  for (int64_t i = part; i < batch; i += parts) {
    const uint64_t id = static_cast<uint64_t>(step) << 16 | static_cast<uint64_t>(i);
    result.specs.push_back(SampleClip(scans, geometry, Split::kTrain, Combinations::kAll,
                                      MixSeed(seed, {kTrunkClips, id})));
    if (warp > 0) result.specs.back().warp = SampleWarp(warp, MixSeed(seed, {kTrunkWarp, id}));
    Random random(MixSeed(seed, {kTrunkBrightness, id}));
    brightness.push_back(static_cast<float>(0.7 + 0.3 * random.Uniform()));
    noise_scale.push_back(static_cast<float>(0.2 * random.Uniform()));
  }
  const at::Tensor clips = RenderClips(scans, geometry, result.specs, /*windows=*/{}, device);
  const at::Tensor noise = train::SeededNormal(
      clips.sizes(),
      MixSeed(seed, {kTrunkNoise, static_cast<uint64_t>(step), static_cast<uint64_t>(part)}),
      device);
  auto per_clip = [&](const std::vector<float>& values) {
    return at::tensor(values).reshape({-1, 1, 1, 1, 1}).to(device);
  };
  result.video = (clips + 1) * per_clip(brightness) - 1 + noise * per_clip(noise_scale);
  return result;
}

}  // namespace wanlite::digits
