// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_classifier.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/core/strict_json.h"
#include "src/digits/network_parameters.h"
#include "src/train/parameters.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::digits {

namespace {

enum ReaderStream : uint64_t { kReaderWindow = 21 };

// Frames of a third of a clip, as long as the reader needs.
int64_t ThirdOf(int64_t frames) { return std::max((frames + 2) / 3, VideoTrunk::kMinFrames); }

std::vector<double*> Shares(ReadingAccuracy& accuracy) {
  return {&accuracy.digit,
          &accuracy.direction,
          &accuracy.colour,
          &accuracy.digit_and_direction,
          &accuracy.digit_in_third[0],
          &accuracy.digit_in_third[1],
          &accuracy.digit_in_third[2],
          &accuracy.digit_in_all_thirds,
          &accuracy.digit_consistency};
}

}  // namespace

DigitsClassifier::DigitsClassifier(int64_t width) : VideoTrunk(width) {
  digit_ = register_module("digit", std::make_shared<nn::Linear>(feature_width(), kDigits));
  direction_ =
      register_module("direction", std::make_shared<nn::Linear>(feature_width(), kDirections));
  colour_ = register_module("colour", std::make_shared<nn::Linear>(feature_width(), kColours));
}

DigitsLogits DigitsClassifier::forward(const at::Tensor& video) const {
  const at::Tensor features = Features(video);
  return {digit_->forward(features), direction_->forward(features), colour_->forward(features)};
}

void DigitsClassifier::InitParameters(uint64_t seed) { InitAll(seed); }

absl::Status DigitsClassifier::Save(Env& env, absl::string_view dir) const {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  WANLITE_RETURN_IF_ERROR(
      WriteSafetensors(env, JoinPath(dir, "model.safetensors"), train::DetachedParameters(*this))
          .status());
  const nlohmann::ordered_json config = {{"_class_name", "WanliteDigitsClassifier"},
                                         {"width", width()}};
  return env.WriteFileAtomically(JoinPath(dir, "config.json"), config.dump(2) + "\n");
}

absl::StatusOr<std::shared_ptr<DigitsClassifier>> DigitsClassifier::Load(Env& env,
                                                                         absl::string_view dir) {
  const std::string config_path = JoinPath(dir, "config.json");
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(config_path, 1 << 16));
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json config, ParseStrictJson(text, config_path));
  if (!config.contains("width") || !config["width"].is_number_integer()) {
    return absl::InvalidArgumentError(absl::StrCat(config_path, ": no integer field 'width'"));
  }
  const int64_t width = config["width"].get<int64_t>();
  const absl::Status checked = CheckWidth(width);
  if (!checked.ok()) return Annotate(checked, config_path);
  auto classifier = std::make_shared<DigitsClassifier>(width);
  const std::string path = JoinPath(dir, "model.safetensors");
  WANLITE_RETURN_IF_ERROR(train::LoadParameters(env, path, *classifier));
  return classifier;
}

ClassifierObjective::ClassifierObjective(DigitsClassifier& classifier, const DigitScans& scans,
                                         const ClipGeometry& geometry, int64_t batch, uint64_t seed,
                                         bool muon, double third_weight, double warp)
    : classifier_(classifier),
      scans_(scans),
      geometry_(geometry),
      batch_(batch),
      seed_(seed),
      muon_(muon),
      third_weight_(third_weight),
      warp_(warp) {}

std::vector<train::TrainedTensor> ClassifierObjective::Parameters() {
  return NetworkParameters(classifier_, "", muon_);
}

train::Objective::Terms ClassifierObjective::Loss(int64_t step, int part, int parts) {
  const at::Device device = classifier_.parameters().front().device();
  const ClipBatch batch =
      NoisyClips(scans_, geometry_, batch_, step, part, parts, seed_, warp_, device);
  std::vector<int64_t> digits, directions, colours;
  for (const ClipSpec& spec : batch.specs) {
    digits.push_back(spec.digit);
    directions.push_back(static_cast<int64_t>(spec.direction));
    colours.push_back(static_cast<int64_t>(spec.colour));
  }
  const auto loss = [&](const at::Tensor& logits, const std::vector<int64_t>& right) {
    return at::cross_entropy_loss(logits, at::tensor(right).to(device));
  };
  const DigitsLogits logits = classifier_.forward(batch.video);
  const at::Tensor digit = loss(logits.digit, digits);
  const at::Tensor direction = loss(logits.direction, directions);
  const at::Tensor colour = loss(logits.colour, colours);
  Terms terms{digit + direction + colour,
              {{"digit", digit.item<double>()},
               {"direction", direction.item<double>()},
               {"colour", colour.item<double>()}}};
  if (third_weight_ > 0) {
    const int64_t frames = batch.video.size(2), third = ThirdOf(frames);
    Random random(MixSeed(
        seed_, {kReaderWindow, static_cast<uint64_t>(step) << 16 | static_cast<uint64_t>(part)}));
    const at::Tensor window = batch.video.narrow(2, random.Below(frames - third + 1), third);
    const at::Tensor of_third = loss(classifier_.forward(window).digit, digits);
    terms.total = terms.total + third_weight_ * of_third;
    terms.named.push_back({"digit of a third", of_third.item<double>()});
  }
  return terms;
}

ReadingAccuracy Read(const DigitsClassifier& classifier, const at::Tensor& video,
                     const std::vector<ClipSpec>& specs) {
  at::NoGradGuard no_grad;
  const DigitsLogits logits = classifier.forward(video);
  const at::Tensor digit = logits.digit.argmax(1), direction = logits.direction.argmax(1),
                   colour = logits.colour.argmax(1);
  const int64_t frames = video.size(2);
  const int64_t third = ThirdOf(frames);
  std::array<at::Tensor, 3> thirds;
  for (int64_t i = 0; i < 3; ++i) {
    thirds[i] =
        classifier.forward(video.narrow(2, i * (frames - third) / 2, third)).digit.argmax(1);
  }
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
    bool all_right = true, agree = true;
    for (size_t t = 0; t < thirds.size(); ++t) {
      const int64_t read = thirds[t][i].item<int64_t>();
      result.digit_in_third[t] += read == specs[i].digit;
      all_right = all_right && read == specs[i].digit;
      agree = agree && read == thirds[0][i].item<int64_t>();
    }
    result.digit_in_all_thirds += all_right;
    result.digit_consistency += agree;
  }
  for (double* share : Shares(result)) {
    *share /= static_cast<double>(std::max<int64_t>(1, result.clips));
  }
  return result;
}

ReadingAccuracy Join(const std::vector<ReadingAccuracy>& parts) {
  ReadingAccuracy all;
  for (const ReadingAccuracy& part : parts) all.clips += part.clips;
  for (ReadingAccuracy part : parts) {
    const double weight =
        static_cast<double>(part.clips) / static_cast<double>(std::max<int64_t>(1, all.clips));
    const std::vector<double*> sums = Shares(all), shares = Shares(part);
    for (size_t i = 0; i < sums.size(); ++i) *sums[i] += weight * *shares[i];
  }
  return all;
}

}  // namespace wanlite::digits
