// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Scores any folder of clips against another. No model is needed.
#ifndef WANLITE_SRC_EVALUATE_EVALUATE_VIDEOS_H_
#define WANLITE_SRC_EVALUATE_EVALUATE_VIDEOS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/metrics/feature_extractor.h"
#include "src/metrics/flicker.h"
#include "src/metrics/set_distance.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"

namespace wanlite {

struct EvaluateVideosOptions {
  std::string videos;     // folder of the clips to score
  std::string reference;  // folder of the clips they are held against
  std::vector<std::shared_ptr<FeatureExtractor>> extractors;
  // What could not be measured and why, for the report: an extractor without weights.
  std::vector<std::string> missing;
  DistanceOptions distance;
  ProgressSink* progress = nullptr;
  const CancellationToken* cancel = nullptr;
};

// One folder. Its clips are those of ClipFolder: files of a format that ReadVideo knows and folders
// of frames, in the order of names; names that begin with a dot are passed over.
struct VideoFolderReport {
  std::string path;
  int64_t clips = 0, frames = 0, height = 0, width = 0;
  double fps = 0;                            // of the first clip; 0: it does not say
  std::vector<std::string> skipped;          // files of other formats, and folders without frames
  std::optional<FlickerStatistics> flicker;  // absent for clips of fewer than 3 frames
};

// One extractor.
struct VideoDistance {
  std::string name, digest, preprocessing, divisor;
  int64_t dim = 0;
  SetDistance all;  // all clips against all clips of the reference
  // The next two are absent when the reference has fewer than 4 clips. The reference is split in
  // two halves of as many clips as both folders allow, taken in turns: check->floor is half against
  // half. A Fréchet distance grows as sets shrink, so beside the floor belongs the distance of as
  // many clips of the folder from the first half.
  std::optional<ExtractorReport> check;
  std::optional<SetDistance> at_floor_size;
  std::string warning;  // empty, or why the numbers only rank
};

// Clips whose names without endings are in both folders.
struct PairedClips {
  int64_t pairs = 0;
  int64_t unpaired_videos = 0, unpaired_reference = 0;
  int64_t identical = 0;       // pairs without any difference
  double psnr_db = 0;          // mean; identical pairs count as kPsnrCap
  std::optional<double> ssim;  // mean; absent for frames smaller than SSIM's window
};

struct VideosReport {
  VideoFolderReport videos, reference;
  std::vector<VideoDistance> distances;
  std::optional<PairedClips> paired;  // absent when no name is in both folders
  std::vector<std::string> missing;
  double confidence = 0.95;
  int resamples = 0;  // of the bootstrap; 0: the intervals say nothing
};

// InvalidArgument for a folder of fewer than 2 clips, for clips of different sizes or lengths
// (naming both files) and for broken files; NotFound for an absent folder.
absl::StatusOr<VideosReport> EvaluateVideos(Env& env, const EvaluateVideosOptions& options);

// One JSON object (see the command line's help for its keys), and a table for people.
std::string VideosJson(const VideosReport& report);
std::string VideosTable(const VideosReport& report);

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_EVALUATE_VIDEOS_H_
