// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What models are measured over: prompts with seeds, real clips to stand beside, and the networks
// that read clips. A set is data and closures; `evaluate` knows nothing of digits.
#ifndef WANLITE_SRC_EVALUATE_EVALUATION_SET_H_
#define WANLITE_SRC_EVALUATE_EVALUATION_SET_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/metrics/feature_extractor.h"
#include "src/metrics/set_distance.h"
#include "wanlite/env.h"

namespace wanlite {

struct SetPrompt {
  std::string text;
  std::string language;  // "English"
  uint64_t seed = 0;
};

// What a network reads from one clip, compared with what the prompt asked for.
struct ClipReading {
  bool digit = false, direction = false, colour = false;  // right
  bool digit_consistent =
      false;  // the same digit in the first, middle and last third, right or not
};

struct EvaluationSet {
  std::string name;  // "digits"
  std::vector<SetPrompt> prompts;
  // Of what decides the two sets of real clips, so that their features can be kept; empty: unknown.
  std::string fingerprint;
  // Two disjoint sets of real clips, best each of as many as there are prompts, of the size and
  // length that the models generate. Best both show what the prompts say, clip by clip: otherwise
  // the floor between them holds the difference of two sets of prompts, which a model that is given
  // the prompts of `real` does not have.
  ClipSet real, other_real;
  // The i-th clip of `real` shows what the i-th prompt says, so that it can be read like a
  // generated one.
  bool real_follows_prompts = false;
  std::vector<std::shared_ptr<FeatureExtractor>> extractors;
  // Unit vectors of one text-video encoder, [dim] each; null: no alignment.
  std::function<absl::StatusOr<at::Tensor>(const std::string& text)> embed_text;
  std::function<absl::StatusOr<at::Tensor>(const at::Tensor& clip)> embed_clip;
  std::string encoder_name;  // "Digits-CLIP"
  // Null: the set has no classifier.
  std::function<absl::StatusOr<ClipReading>(int64_t prompt, const at::Tensor& clip)> read;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_EVALUATION_SET_H_
