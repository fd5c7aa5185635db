// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Scores the clips of one source over an evaluation set, one clip at a time, so that clips need not
// be kept.
#ifndef WANLITE_SRC_EVALUATE_SET_SCORER_H_
#define WANLITE_SRC_EVALUATE_SET_SCORER_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "src/evaluate/evaluate.h"
#include "src/evaluate/evaluation_set.h"

namespace wanlite {

class SetScorer {
 public:
  // `set` must outlive it. With `with_features`, clips go through the set's extractors too.
  SetScorer(const EvaluationSet& set, bool with_features);

  // The clip of a prompt, uint8 [F, H, W, 3]; each prompt once, in order.
  absl::Status Add(const at::Tensor& clip);
  // Languages, flicker; distances are left to the caller. Once, at the end.
  absl::StatusOr<SetQuality> Finish();
  // Of each extractor, in the order of the set.
  const std::vector<FeatureSet>& features() const { return features_; }

 private:
  struct Row {
    std::string language;
    double cosine = 0;
    bool best = false;  // no other prompt of its language fits the clip better
    ClipReading reading;
  };
  absl::Status EmbedPrompts();

  const EvaluationSet& set_;
  at::Tensor prompt_embeddings_;  // [prompts, dim], unit vectors
  std::vector<Row> rows_;
  FlickerStatistics flicker_;
  std::vector<FeatureCollector> collectors_;
  std::vector<FeatureSet> features_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_SET_SCORER_H_
