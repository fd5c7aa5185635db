// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A small network that reads digit, direction of motion and colour from a clip. It is trained on
// real clips alone and is the judge of generated ones.
#ifndef WANLITE_SRC_DIGITS_DIGITS_CLASSIFIER_H_
#define WANLITE_SRC_DIGITS_DIGITS_CLASSIFIER_H_

#include <torch/nn/module.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/digits/digits.h"
#include "src/digits/video_trunk.h"
#include "wanlite/nn.h"
#include "wanlite/train.h"

namespace wanlite::digits {

struct DigitsLogits {
  at::Tensor digit;      // [B, 10]
  at::Tensor direction;  // [B, 4], in the order of Direction
  at::Tensor colour;     // [B, 6], in the order of Colour
};

// Tensors: layers.N.{weight,bias,gain,offset} and {digit,direction,colour}.{weight,bias}.
class DigitsClassifier : public VideoTrunk {
 public:
  // Channels of the first layer. Parameters are not initialised.
  explicit DigitsClassifier(int64_t width);
  // video: fp32 [B, 3, F, H, W] in [-1, 1], F >= 5, H and W at least 32.
  DigitsLogits forward(const at::Tensor& video) const;
  void InitParameters(uint64_t seed);

  // A folder with config.json and model.safetensors.
  absl::Status Save(Env& env, absl::string_view dir) const;
  static absl::StatusOr<std::shared_ptr<DigitsClassifier>> Load(Env& env, absl::string_view dir);

 private:
  std::shared_ptr<nn::Linear> digit_, direction_, colour_;
};

// Sum of the three cross-entropies on NoisyClips() of this `warp`, and third_weight times the
// digit's on a third of each clip from a random place, so that thirds can be read too.
class ClassifierObjective : public train::Objective {
 public:
  // `classifier` and `scans` must outlive it.
  ClassifierObjective(DigitsClassifier& classifier, const DigitScans& scans,
                      const ClipGeometry& geometry, int64_t batch, uint64_t seed, bool muon = false,
                      double third_weight = 0, double warp = 0);
  std::vector<train::TrainedTensor> Parameters() override;
  Terms Loss(int64_t step, int part, int parts) override;

 private:
  DigitsClassifier& classifier_;
  const DigitScans& scans_;
  ClipGeometry geometry_;
  int64_t batch_;
  uint64_t seed_;
  bool muon_;
  double third_weight_, warp_;
};

struct ReadingAccuracy {
  int64_t clips = 0;
  double digit = 0, direction = 0, colour = 0;  // shares read right
  double digit_and_direction = 0;
  // The same reader on the first, middle and last third of each clip alone (on 5 frames at least,
  // so the thirds of short clips overlap): does the digit stay one? A third shows less than the
  // whole, so real clips are the measure.
  std::array<double, 3> digit_in_third{};  // shares whose digit is read right from this third
  double digit_in_all_thirds = 0;          // ... from each of the three
  double digit_consistency = 0;            // share whose three readings agree, right or wrong
};
// How often the classifier reads what `specs` say. video: [specs, 3, F >= 5, H, W].
ReadingAccuracy Read(const DigitsClassifier& classifier, const at::Tensor& video,
                     const std::vector<ClipSpec>& specs);
// Sums shares weighted by clips.
ReadingAccuracy Join(const std::vector<ReadingAccuracy>& parts);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIGITS_CLASSIFIER_H_
