// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/set_distance.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/metrics/extractors.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

std::string GeometryText(int64_t frames, int64_t height, int64_t width) {
  return absl::StrCat(frames, " frames of ", width, "x", height);
}

std::string GeometryText(const FeatureSet& set) {
  return GeometryText(set.frames, set.height, set.width);
}

std::string ClipName(const std::string& set, int64_t index) {
  return absl::StrCat(set, ", clip ", index);
}

absl::Status CheckCount(const ClipSet& clips) {
  if (clips.count > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(clips.name, ": there are no clips"));
}

absl::StatusOr<at::Tensor> ReadClip(const ClipSet& clips, int64_t index) {
  absl::StatusOr<at::Tensor> clip = clips.clip(index);
  if (!clip.ok()) return Annotate(clip.status(), ClipName(clips.name, index));
  if (!clip->defined() || clip->dim() != 4 || clip->numel() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        ClipName(clips.name, index), ": wanted uint8 [frames, height, width, 3], got ",
        clip->defined() ? absl::StrCat("[", absl::StrJoin(clip->sizes(), ", "), "]") : "nothing"));
  }
  return clip;
}

// Calls `one` for every clip, with progress and cancellation around it.
absl::Status ForEachClip(const ClipSet& clips, const FeatureExtractor& extractor,
                         ProgressSink* progress, const CancellationToken* cancel,
                         const std::function<absl::Status(int64_t index)>& one) {
  WANLITE_RETURN_IF_ERROR(CheckCount(clips));
  ProgressSink& sink = progress == nullptr ? SilentProgress() : *progress;
  sink.Begin(absl::StrCat(extractor.distance_name(), ": ", clips.name), clips.count);
  absl::Status status;
  for (int64_t i = 0; i < clips.count && status.ok(); ++i) {
    if (cancel != nullptr) status = cancel->Check();
    if (status.ok()) status = CatchTorch([&]() -> absl::Status { return one(i); });
    if (status.ok()) sink.Update(i + 1, "");
  }
  sink.End();
  return status;
}

}  // namespace

absl::Status FeatureCollector::Add(const at::Tensor& clip) {
  const std::string name = ClipName(set_name_, static_cast<int64_t>(rows_.size()));
  const absl::Status checked = CheckClip(clip);
  if (!checked.ok()) return Annotate(checked, name);
  if (rows_.empty()) {
    set_.frames = clip.size(0);
    set_.height = clip.size(1);
    set_.width = clip.size(2);
  } else if (clip.size(0) != set_.frames || clip.size(1) != set_.height ||
             clip.size(2) != set_.width) {
    return absl::InvalidArgumentError(
        absl::StrCat("clips of different sizes: ", name, " has ",
                     GeometryText(clip.size(0), clip.size(1), clip.size(2)), ", ",
                     ClipName(set_name_, 0), " has ", GeometryText(set_)));
  }
  absl::StatusOr<at::Tensor> features = extractor_->Extract(clip);
  if (!features.ok()) return Annotate(features.status(), name);
  if (!features->isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the features of ", extractor_->distance_name(), " are not finite"));
  }
  rows_.push_back(*std::move(features));
  return absl::OkStatus();
}

absl::StatusOr<FeatureSet> FeatureCollector::Finish() const {
  if (rows_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(set_name_, ": there are no clips"));
  }
  return CatchTorch([&] {
    FeatureSet result = set_;
    result.features = at::stack(rows_);
    return result;
  });
}

absl::StatusOr<FeatureSet> ExtractFeatures(const FeatureExtractor& extractor, const ClipSet& clips,
                                           ProgressSink* progress,
                                           const CancellationToken* cancel) {
  FeatureCollector collector(extractor, clips.name);
  WANLITE_RETURN_IF_ERROR(
      ForEachClip(clips, extractor, progress, cancel, [&](int64_t i) -> absl::Status {
        WANLITE_ASSIGN_OR_RETURN(const at::Tensor clip, ReadClip(clips, i));
        return collector.Add(clip);
      }));
  return collector.Finish();
}

at::Tensor DamageClip(const at::Tensor& clip, TemporalDamage damage, uint64_t seed) {
  TORCH_CHECK(clip.dim() == 4 && clip.size(0) > 0, "a clip must be [F >= 1, H, W, C], found ",
              clip.sizes());
  const int64_t frames = clip.size(0);
  if (damage == TemporalDamage::kFrozen) {
    return clip.narrow(0, 0, 1).expand_as(clip).contiguous();
  }
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::TensorOptions integers = at::TensorOptions().dtype(at::kLong);
  const at::Tensor still = at::arange(frames, integers);
  at::Tensor order = at::randperm(frames, generator, integers);
  // A short clip may be shuffled into itself, which is no damage.
  if (order.equal(still)) order = order.roll(1);
  return clip.index_select(0, order);
}

absl::StatusOr<SetDistance> MeasureSetDistance(const FeatureSet& real, const FeatureSet& generated,
                                               const DistanceOptions& options,
                                               const CancellationToken* cancel) {
  // Features that come from a file know no geometry.
  const bool known = real.frames > 0 && generated.frames > 0;
  if (known && (real.frames != generated.frames || real.height != generated.height ||
                real.width != generated.width)) {
    return absl::InvalidArgumentError(absl::StrCat("clips of different sizes: real ones have ",
                                                   GeometryText(real), ", generated ones ",
                                                   GeometryText(generated)));
  }
  SetDistance result;
  WANLITE_ASSIGN_OR_RETURN(result.frechet,
                           FrechetDistance(real.features, generated.features, options.divisor));
  WANLITE_ASSIGN_OR_RETURN(result.kernel, KernelDistance(real.features, generated.features));
  result.n_real = real.features.size(0);
  result.n_generated = generated.features.size(0);
  result.dim = real.features.size(1);
  if (options.resamples != 0) {
    WANLITE_ASSIGN_OR_RETURN(result.resamples,
                             FrechetResamples(real.features, generated.features, options.divisor,
                                              options.resamples, options.seed, cancel));
    // Resamples repeat clips, which makes their distances larger; the interval keeps their spread
    // and takes the distance itself for its centre.
    WANLITE_ASSIGN_OR_RETURN(result.interval,
                             IntervalAround(result.frechet, result.resamples, options.confidence));
    result.interval.low = std::max(0.0, result.interval.low);
  }
  return result;
}

absl::StatusOr<DistanceChange> CompareDistances(const SetDistance& from, const SetDistance& to,
                                                double confidence) {
  if (from.n_real != to.n_real || from.n_generated != to.n_generated ||
      from.resamples.size() != to.resamples.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("distances of ", from.n_generated, " clips from ", from.n_real, " with ",
                     from.resamples.size(), " resamples, and of ", to.n_generated, " from ",
                     to.n_real, " with ", to.resamples.size(), ", are not pairs"));
  }
  DistanceChange change;
  change.frechet = to.frechet - from.frechet;
  change.interval = {change.frechet, change.frechet, change.frechet};
  if (from.resamples.empty()) return change;
  std::vector<double> differences;
  for (size_t i = 0; i < from.resamples.size(); ++i) {
    differences.push_back(to.resamples[i] - from.resamples[i]);
  }
  WANLITE_ASSIGN_OR_RETURN(change.interval,
                           IntervalAround(change.frechet, std::move(differences), confidence));
  return change;
}

absl::StatusOr<RealFeatures> ExtractRealFeatures(const FeatureExtractor& extractor,
                                                 const ClipSet& real, const ClipSet& other,
                                                 const DistanceOptions& options,
                                                 ProgressSink* progress,
                                                 const CancellationToken* cancel) {
  if (real.count != other.count) {
    return absl::InvalidArgumentError(
        absl::StrCat("the floor needs two sets of as many real clips: ", real.name, " has ",
                     real.count, ", ", other.name, " has ", other.count));
  }
  RealFeatures features;
  WANLITE_ASSIGN_OR_RETURN(features.real, ExtractFeatures(extractor, real, progress, cancel));
  FeatureCollector plain(extractor, other.name), shuffled(extractor, other.name),
      frozen(extractor, other.name);
  const auto one = [&](int64_t i) -> absl::Status {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor clip, ReadClip(other, i));
    const uint64_t seed = options.seed * 1000003 + static_cast<uint64_t>(i);
    WANLITE_RETURN_IF_ERROR(plain.Add(clip));
    WANLITE_RETURN_IF_ERROR(shuffled.Add(DamageClip(clip, TemporalDamage::kShuffled, seed)));
    return frozen.Add(DamageClip(clip, TemporalDamage::kFrozen, seed));
  };
  WANLITE_RETURN_IF_ERROR(ForEachClip(other, extractor, progress, cancel, one));
  WANLITE_ASSIGN_OR_RETURN(features.other, plain.Finish());
  WANLITE_ASSIGN_OR_RETURN(features.shuffled, shuffled.Finish());
  WANLITE_ASSIGN_OR_RETURN(features.frozen, frozen.Finish());
  return features;
}

absl::StatusOr<ExtractorReport> CheckExtractor(const FeatureExtractor& extractor,
                                               const RealFeatures& features,
                                               const DistanceOptions& options,
                                               const CancellationToken* cancel) {
  const FeatureSet& real = features.real;
  ExtractorReport report;
  report.name = extractor.distance_name();
  report.digest = extractor.digest();
  report.preprocessing = extractor.preprocessing();
  report.clips = real.features.size(0);
  report.dim = real.features.size(1);
  report.frames = real.frames;
  report.height = real.height;
  report.width = real.width;
  report.divisor = std::string(CovarianceDivisorName(options.divisor));
  for (const auto& [set, distance] :
       {std::pair(&features.other, &report.floor), std::pair(&features.shuffled, &report.shuffled),
        std::pair(&features.frozen, &report.frozen)}) {
    WANLITE_ASSIGN_OR_RETURN(*distance, MeasureSetDistance(real, *set, options, cancel));
  }
  report.temporal_check = report.shuffled.frechet > report.floor.frechet &&
                          report.frozen.frechet > report.floor.frechet;
  report.warning = SampleWarning(report.clips, features.other.features.size(0), report.dim);
  return report;
}

}  // namespace wanlite
