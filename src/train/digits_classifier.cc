// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/digits_classifier.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/train/vae_training.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

constexpr int64_t kNormGroups = 4;
constexpr int64_t kMaxWidth = 1024;

struct LayerShape {
  int64_t in, out;  // in units of the width; 0: the three colour channels
  std::array<int64_t, 3> stride;
};
constexpr LayerShape kLayers[] = {
    {0, 1, {2, 1, 1}}, {1, 2, {1, 2, 2}}, {2, 4, {2, 2, 2}}, {4, 4, {1, 1, 1}}, {4, 6, {2, 2, 2}}};

enum Stream : uint64_t { kClips = 1, kNoise = 2, kBrightness = 3 };

}  // namespace

DigitsClassifier::DigitsClassifier(int64_t width) : width_(width) {
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
  const int64_t features = 2 * 6 * width;
  digit_ = register_module("digit", std::make_shared<nn::Linear>(features, kDigits));
  direction_ = register_module("direction", std::make_shared<nn::Linear>(features, kDirections));
  colour_ = register_module("colour", std::make_shared<nn::Linear>(features, kColours));
}

DigitsLogits DigitsClassifier::forward(const at::Tensor& video) const {
  TORCH_CHECK(video.dim() == 5 && video.size(1) == 3 && video.size(2) >= 5 && video.size(3) >= 32 &&
                  video.size(4) >= 32,
              "DigitsClassifier: video must be [B, 3, F >= 5, H >= 32, W >= 32], found ",
              video.sizes());
  // Scans have 8x8 pixels; half the resolution still shows all of them.
  at::Tensor x = at::avg_pool3d(video, {1, 2, 2});
  for (const Layer& layer : layers_) {
    x = at::conv3d(x, layer.weight, layer.bias, layer.stride, /*padding=*/{1, 1, 1});
    x = at::silu(at::group_norm(x, kNormGroups, layer.gain, layer.offset));
  }
  const at::Tensor features = at::cat({x.mean({2, 3, 4}), x.amax({2, 3, 4})}, 1);
  return {digit_->forward(features), direction_->forward(features), colour_->forward(features)};
}

void DigitsClassifier::InitParameters(uint64_t seed) {
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

absl::Status DigitsClassifier::Save(Env& env, absl::string_view dir) const {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  std::vector<NamedTensor> tensors;
  for (const auto& item : named_parameters())
    tensors.push_back({item.key(), item.value().detach()});
  WANLITE_RETURN_IF_ERROR(
      WriteSafetensors(env, JoinPath(dir, "model.safetensors"), tensors).status());
  const nlohmann::ordered_json config = {{"_class_name", "WanliteDigitsClassifier"},
                                         {"width", width_}};
  return env.WriteFileAtomically(JoinPath(dir, "config.json"), config.dump(2) + "\n");
}

absl::StatusOr<std::shared_ptr<DigitsClassifier>> DigitsClassifier::Load(Env& env,
                                                                         absl::string_view dir) {
  const std::string config_path = JoinPath(dir, "config.json");
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(config_path, 1 << 16));
  const auto config = nlohmann::json::parse(text, nullptr, false);
  if (!config.is_object() || !config.contains("width") || !config["width"].is_number_integer()) {
    return absl::InvalidArgumentError(absl::StrCat(config_path, ": no integer field 'width'"));
  }
  const int64_t width = config["width"].get<int64_t>();
  if (width < kNormGroups || width % kNormGroups != 0 || width > kMaxWidth) {
    return absl::InvalidArgumentError(absl::StrCat(config_path, ": width is ", width,
                                                   ", but must be a multiple of ", kNormGroups,
                                                   " up to ", kMaxWidth));
  }
  auto classifier = std::make_shared<DigitsClassifier>(width);
  const std::string path = JoinPath(dir, "model.safetensors");
  WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(env, path));
  at::NoGradGuard no_grad;
  for (auto& item : classifier->named_parameters()) {
    auto value = source->Read(item.key());
    if (!value.ok()) return Annotate(value.status(), path);
    if (value->sizes() != item.value().sizes() || !value->is_floating_point()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", item.key(), " does not have the shape that width ", width, " asks for"));
    }
    item.value().copy_(*value);
  }
  return classifier;
}

ClassifierObjective::ClassifierObjective(DigitsClassifier& classifier, const DigitScans& scans,
                                         const ClipGeometry& geometry, int64_t batch, uint64_t seed)
    : classifier_(classifier), scans_(scans), geometry_(geometry), batch_(batch), seed_(seed) {}

std::vector<NamedTensor> ClassifierObjective::Parameters() {
  std::vector<NamedTensor> result;
  for (auto& item : classifier_.named_parameters()) result.push_back({item.key(), item.value()});
  return result;
}

at::Tensor ClassifierObjective::Loss(int64_t step, int part, int parts) {
  std::vector<ClipSpec> specs;
  std::vector<int64_t> digits, directions, colours;
  std::vector<float> brightness, noise_scale;
  for (int64_t i = part; i < batch_; i += parts) {
    const uint64_t id = static_cast<uint64_t>(step) << 16 | static_cast<uint64_t>(i);
    specs.push_back(SampleClip(scans_, geometry_, Split::kTrain, Combinations::kAll,
                               MixSeed(seed_, {kClips, id})));
    digits.push_back(specs.back().digit);
    directions.push_back(static_cast<int64_t>(specs.back().direction));
    colours.push_back(static_cast<int64_t>(specs.back().colour));
    Random random(MixSeed(seed_, {kBrightness, id}));
    brightness.push_back(static_cast<float>(0.7 + 0.3 * random.Uniform()));
    noise_scale.push_back(static_cast<float>(0.2 * random.Uniform()));
  }
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(
      MixSeed(seed_, {kNoise, static_cast<uint64_t>(step), static_cast<uint64_t>(part)}));
  const at::Tensor clips = RenderClips(scans_, geometry_, specs);
  auto per_clip = [](const std::vector<float>& values) {
    return at::tensor(values).reshape({-1, 1, 1, 1, 1});
  };
  const at::Tensor video = (clips + 1) * per_clip(brightness) - 1 +
                           at::randn(clips.sizes(), generator) * per_clip(noise_scale);
  const DigitsLogits logits = classifier_.forward(video);
  return at::cross_entropy_loss(logits.digit, at::tensor(digits)) +
         at::cross_entropy_loss(logits.direction, at::tensor(directions)) +
         at::cross_entropy_loss(logits.colour, at::tensor(colours));
}

ReadingAccuracy Read(const DigitsClassifier& classifier, const at::Tensor& video,
                     const std::vector<ClipSpec>& specs) {
  at::NoGradGuard no_grad;
  const DigitsLogits logits = classifier.forward(video);
  const at::Tensor digit = logits.digit.argmax(1), direction = logits.direction.argmax(1),
                   colour = logits.colour.argmax(1);
  ReadingAccuracy result;
  result.clips = static_cast<int64_t>(specs.size());
  for (int64_t i = 0; i < result.clips; ++i) {
    const bool digit_right = digit[i].item<int64_t>() == specs[i].digit;
    const bool direction_right =
        direction[i].item<int64_t>() == static_cast<int64_t>(specs[i].direction);
    result.digit += digit_right;
    result.direction += direction_right;
    result.digit_and_direction += digit_right && direction_right;
    result.colour += colour[i].item<int64_t>() == static_cast<int64_t>(specs[i].colour);
  }
  for (double* share :
       {&result.digit, &result.direction, &result.colour, &result.digit_and_direction}) {
    *share /= static_cast<double>(std::max<int64_t>(1, result.clips));
  }
  return result;
}

ReadingAccuracy Join(const std::vector<ReadingAccuracy>& parts) {
  ReadingAccuracy all;
  for (const ReadingAccuracy& part : parts) all.clips += part.clips;
  for (const ReadingAccuracy& part : parts) {
    const double weight =
        static_cast<double>(part.clips) / static_cast<double>(std::max<int64_t>(1, all.clips));
    all.digit += weight * part.digit;
    all.direction += weight * part.direction;
    all.colour += weight * part.colour;
    all.digit_and_direction += weight * part.digit_and_direction;
  }
  return all;
}

}  // namespace wanlite::train
