// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/evaluate_videos.h"

#include <cmath>
#include <map>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/evaluate/clip_folder.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kMinClips = 2;           // of each folder: a covariance needs two
constexpr int64_t kMinFloorReference = 4;  // two halves of two
constexpr int64_t kMinFlickerFrames = 3;
constexpr int64_t kSsimWindow = 11;

std::string SizeText(const at::Tensor& clip) {
  return absl::StrCat(clip.size(0), " frames of ", clip.size(2), "x", clip.size(1));
}

// The first clip read, that all others must look like.
struct FirstClip {
  std::string path;
  at::Tensor frames;
};

class VideosEvaluation {
 public:
  VideosEvaluation(const EvaluateVideosOptions& options, ClipFolder videos, ClipFolder reference)
      : options_(options),
        progress_(options.progress != nullptr ? *options.progress : SilentProgress()),
        videos_(std::move(videos)),
        reference_(std::move(reference)) {}

  absl::StatusOr<VideosReport> Run() {
    VideosReport report;
    report.missing = options_.missing;
    report.confidence = options_.distance.confidence;
    report.resamples = options_.distance.resamples;
    WANLITE_RETURN_IF_ERROR(CheckCount(videos_));
    WANLITE_RETURN_IF_ERROR(CheckCount(reference_));
    progress_.Begin("read clips", videos_.size() + reference_.size());
    FirstClip first;
    absl::StatusOr<VideoFolderReport> reference = Describe(reference_, 0, first);
    absl::StatusOr<VideoFolderReport> videos =
        reference.ok() ? Describe(videos_, reference_.size(), first) : reference.status();
    progress_.End();
    if (!videos.ok()) return videos.status();
    report.videos = *std::move(videos);
    report.reference = *std::move(reference);
    WANLITE_ASSIGN_OR_RETURN(report.paired, Pair());
    for (const auto& extractor : options_.extractors) {
      WANLITE_ASSIGN_OR_RETURN(VideoDistance distance, Measure(*extractor));
      report.distances.push_back(std::move(distance));
    }
    return report;
  }

 private:
  static absl::Status CheckCount(const ClipFolder& folder) {
    if (folder.size() >= kMinClips) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "'", folder.dir(), "' holds ", folder.size(),
        " clips (PNG, WebP, Y4M, MP4, folders of PNG or WebP frames)",
        folder.skipped().empty() ? ""
                                 : absl::StrCat(" and ", folder.skipped().size(),
                                                " other entries, e.g. ", folder.skipped().front()),
        "; at least ", kMinClips, " are needed"));
  }

  absl::Status CheckCancelled() const {
    return options_.cancel != nullptr ? options_.cancel->Check() : absl::OkStatus();
  }

  // Reads every clip once: sizes, flicker.
  absl::StatusOr<VideoFolderReport> Describe(ClipFolder& folder, int64_t done, FirstClip& first) {
    VideoFolderReport report;
    report.path = folder.dir();
    report.clips = folder.size();
    report.skipped = folder.skipped();
    for (int64_t i = 0; i < folder.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled());
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor clip, folder.Clip(i));
      if (!first.frames.defined()) first = FirstClip{folder.path(i), clip};
      if (clip.sizes() != first.frames.sizes()) {
        return absl::InvalidArgumentError(absl::StrCat("clips of different sizes: ", first.path,
                                                       " has ", SizeText(first.frames), ", ",
                                                       folder.path(i), " has ", SizeText(clip)));
      }
      if (clip.size(0) >= kMinFlickerFrames) {
        absl::StatusOr<FlickerStatistics> flicker = MeasureFlicker(clip);
        if (!flicker.ok()) return Annotate(flicker.status(), folder.path(i));
        report.flicker = report.flicker ? Combine(*report.flicker, *flicker) : *flicker;
      }
      progress_.Update(done + i + 1, folder.names()[i]);
    }
    report.frames = first.frames.size(0);
    report.height = first.frames.size(1);
    report.width = first.frames.size(2);
    report.fps = folder.fps(0);
    return report;
  }

  // Index by stem; -1 where a folder has it twice, since a pair must be certain.
  static std::map<std::string, int64_t> Stems(const ClipFolder& folder) {
    std::map<std::string, int64_t> stems;
    for (int64_t i = 0; i < folder.size(); ++i) {
      const auto [at, added] = stems.emplace(folder.stem(i), i);
      if (!added) at->second = -1;
    }
    return stems;
  }

  absl::StatusOr<std::optional<PairedClips>> Pair() {
    const std::map<std::string, int64_t> ours = Stems(videos_), theirs = Stems(reference_);
    PairedClips paired;
    double psnr = 0, ssim = 0;
    bool has_ssim = true;
    for (const auto& [stem, index] : ours) {
      const auto found = theirs.find(stem);
      if (index < 0 || found == theirs.end() || found->second < 0) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled());
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor a, videos_.Clip(index));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor b, reference_.Clip(found->second));
      WANLITE_ASSIGN_OR_RETURN(const double db, Psnr(a, b));
      ++paired.pairs;
      if (std::isinf(db)) ++paired.identical;
      psnr += std::min(db, kPsnrCap);
      has_ssim = has_ssim && std::min(a.size(1), a.size(2)) >= kSsimWindow;
      if (has_ssim) {
        WANLITE_ASSIGN_OR_RETURN(const double similarity, Ssim(a, b));
        ssim += similarity;
      }
    }
    if (paired.pairs == 0) return std::optional<PairedClips>();
    const auto count = static_cast<double>(paired.pairs);
    paired.psnr_db = psnr / count;
    if (has_ssim) paired.ssim = ssim / count;
    paired.unpaired_videos = videos_.size() - paired.pairs;
    paired.unpaired_reference = reference_.size() - paired.pairs;
    return std::optional<PairedClips>(paired);
  }

  // `count` of `size` indices, evenly spread: names are often sorted by prompt.
  static std::vector<int64_t> EvenlySpread(int64_t count, int64_t size) {
    std::vector<int64_t> indices(count);
    for (int64_t i = 0; i < count; ++i) indices[i] = i * size / count;
    return indices;
  }

  static std::vector<int64_t> All(int64_t size) { return EvenlySpread(size, size); }

  absl::StatusOr<VideoDistance> Measure(const FeatureExtractor& extractor) {
    VideoDistance distance;
    distance.name = extractor.distance_name();
    distance.digest = extractor.digest();
    distance.preprocessing = extractor.preprocessing();
    distance.divisor = std::string(CovarianceDivisorName(options_.distance.divisor));
    WANLITE_ASSIGN_OR_RETURN(
        const FeatureSet real,
        ExtractFeatures(extractor, reference_.Subset(reference_.dir(), All(reference_.size())),
                        &progress_, options_.cancel));
    WANLITE_ASSIGN_OR_RETURN(
        const FeatureSet generated,
        ExtractFeatures(extractor, videos_.Subset(videos_.dir(), All(videos_.size())), &progress_,
                        options_.cancel));
    WANLITE_ASSIGN_OR_RETURN(
        distance.all, MeasureSetDistance(real, generated, options_.distance, options_.cancel));
    distance.dim = distance.all.dim;  // an extractor may not know it before its first clip
    distance.warning = SampleWarning(reference_.size(), videos_.size(), distance.dim);
    if (reference_.size() < kMinFloorReference) return distance;

    const int64_t half = std::min(reference_.size() / 2, videos_.size());
    const std::vector<int64_t> chosen = EvenlySpread(2 * half, reference_.size());
    std::vector<int64_t> first, second;
    for (int64_t i = 0; i < 2 * half; ++i) (i % 2 == 0 ? first : second).push_back(chosen[i]);
    WANLITE_ASSIGN_OR_RETURN(
        const RealFeatures halves,
        ExtractRealFeatures(
            extractor, reference_.Subset(absl::StrCat(reference_.dir(), " (first half)"), first),
            reference_.Subset(absl::StrCat(reference_.dir(), " (second half)"), second),
            options_.distance, &progress_, options_.cancel));
    WANLITE_ASSIGN_OR_RETURN(distance.check,
                             CheckExtractor(extractor, halves, options_.distance, options_.cancel));
    FeatureSet some = generated;
    some.features =
        generated.features.index_select(0, torch::tensor(EvenlySpread(half, videos_.size())));
    WANLITE_ASSIGN_OR_RETURN(
        distance.at_floor_size,
        MeasureSetDistance(halves.real, some, options_.distance, options_.cancel));
    return distance;
  }

  const EvaluateVideosOptions& options_;
  ProgressSink& progress_;
  ClipFolder videos_, reference_;
};

}  // namespace

absl::StatusOr<VideosReport> EvaluateVideos(Env& env, const EvaluateVideosOptions& options) {
  WANLITE_ASSIGN_OR_RETURN(ClipFolder videos, ClipFolder::Open(env, options.videos));
  WANLITE_ASSIGN_OR_RETURN(ClipFolder reference, ClipFolder::Open(env, options.reference));
  VideosEvaluation evaluation(options, std::move(videos), std::move(reference));
  return CatchTorch([&] { return evaluation.Run(); });
}

}  // namespace wanlite
