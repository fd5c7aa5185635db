// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How far a set of clips is from another, with all that must be said beside the number.
#ifndef WANLITE_SRC_METRICS_SET_DISTANCE_H_
#define WANLITE_SRC_METRICS_SET_DISTANCE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "src/metrics/feature_extractor.h"
#include "src/metrics/frechet.h"
#include "wanlite/progress.h"

namespace wanlite {

// Clips that are made or read one at a time.
struct ClipSet {
  std::string name;  // for messages: a folder, "real clips"
  int64_t count = 0;
  std::function<absl::StatusOr<at::Tensor>(int64_t index)> clip;  // uint8 [F, H, W, 3]
};

struct FeatureSet {
  at::Tensor features;  // fp32 [clips, dim]
  int64_t frames = 0, height = 0, width = 0;
};

// Features of clips that come one after the other.
class FeatureCollector {
 public:
  // `extractor` must outlive it. `set_name` is for messages.
  FeatureCollector(const FeatureExtractor& extractor, std::string set_name)
      : extractor_(&extractor), set_name_(std::move(set_name)) {}
  // uint8 [F, H, W, 3]. InvalidArgument, with the number of the clip, for one of another size or
  // length than the first and for features that are not finite.
  absl::Status Add(const at::Tensor& clip);
  // InvalidArgument without clips.
  absl::StatusOr<FeatureSet> Finish() const;

 private:
  const FeatureExtractor* extractor_;
  std::string set_name_;
  FeatureSet set_;
  std::vector<at::Tensor> rows_;
};

// InvalidArgument for a set without clips and for clips of different sizes or lengths, naming both.
absl::StatusOr<FeatureSet> ExtractFeatures(const FeatureExtractor& extractor, const ClipSet& clips,
                                           ProgressSink* progress = nullptr,
                                           const CancellationToken* cancel = nullptr);

// Damage that only time shows: every frame stays a real frame.
enum class TemporalDamage { kShuffled, kFrozen };
// clip: uint8 [F, H, W, 3] -> the same shape. kFrozen repeats the first frame.
at::Tensor DamageClip(const at::Tensor& clip, TemporalDamage damage, uint64_t seed);

struct DistanceOptions {
  CovarianceDivisor divisor = CovarianceDivisor::kUnbiased;
  int resamples = 200;  // of the bootstrap; 0: no interval
  double confidence = 0.95;
  uint64_t seed = 0;
};

struct SetDistance {
  double frechet = 0;
  // Bootstrap over clips, moved so that the resamples have `frechet` for their mean: it tells the
  // spread, and nothing of the bias of small sets.
  Interval interval;
  double kernel = 0;
  int64_t n_real = 0, n_generated = 0, dim = 0;
  std::vector<double> resamples;  // distances of the bootstrap, in the order of the draws
};
absl::StatusOr<SetDistance> MeasureSetDistance(const FeatureSet& real, const FeatureSet& generated,
                                               const DistanceOptions& options,
                                               const CancellationToken* cancel = nullptr);

// How much farther one generated set is from the real ones than another.
struct DistanceChange {
  double frechet = 0;
  // Paired bootstrap: both sets are drawn by the same indices, against the same draws of real
  // clips, so that what they share cancels. Without width where there was no bootstrap.
  Interval interval;
};
// Of two distances from the same real set by the same options. InvalidArgument for sets of
// different sizes, which have no pairs.
absl::StatusOr<DistanceChange> CompareDistances(const SetDistance& from, const SetDistance& to,
                                                double confidence);

// An extractor and how it behaves on real clips alone. No distance is printed without it.
struct ExtractorReport {
  std::string name;           // of the distance: "FD-TransNetV2"
  std::string digest;         // SHA-256 of its weights
  std::string preprocessing;  // one sentence
  int64_t dim = 0;
  int64_t clips = 0, frames = 0, height = 0, width = 0;  // of the real set
  std::string divisor;                                   // of the covariance: "n-1"
  SetDistance floor;            // real clips against as many other real clips
  SetDistance shuffled;         // real clips against other real clips with shuffled frames
  SetDistance frozen;           // ... with the first frame repeated
  bool temporal_check = false;  // both are farther than the floor
  std::string warning;          // empty, or why the numbers only rank (SampleWarning)
};
// What an extractor sees in two disjoint sets of as many real clips.
struct RealFeatures {
  FeatureSet real, other;
  FeatureSet shuffled, frozen;  // `other`, damaged
};
absl::StatusOr<RealFeatures> ExtractRealFeatures(const FeatureExtractor& extractor,
                                                 const ClipSet& real, const ClipSet& other,
                                                 const DistanceOptions& options,
                                                 ProgressSink* progress = nullptr,
                                                 const CancellationToken* cancel = nullptr);
absl::StatusOr<ExtractorReport> CheckExtractor(const FeatureExtractor& extractor,
                                               const RealFeatures& features,
                                               const DistanceOptions& options,
                                               const CancellationToken* cancel = nullptr);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_SET_DISTANCE_H_
