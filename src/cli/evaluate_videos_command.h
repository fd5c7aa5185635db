// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The part of `wanlite evaluate` that needs no model: two folders of clips.
#ifndef WANLITE_SRC_CLI_EVALUATE_VIDEOS_COMMAND_H_
#define WANLITE_SRC_CLI_EVALUATE_VIDEOS_COMMAND_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/cli/session.h"
#include "src/metrics/feature_extractor.h"
#include "src/metrics/frechet.h"

namespace wanlite::cli {

struct VideosOptions {
  std::string videos, reference;
  std::vector<std::string> extractors;  // empty: the default, and it may be missing
  std::string divisor = "n-1";
  int resamples = 200;
  std::vector<std::string> fvd_sha256;
};

// "n-1" or "n", of --divisor.
absl::StatusOr<CovarianceDivisor> ParseDivisor(const std::string& name);

struct OpenedExtractors {
  std::vector<std::unique_ptr<FeatureExtractor>> extractors;
  // Default ones that are not there: spec and why.
  std::vector<std::pair<std::string, std::string>> missing;
};
// Those that the options name, which must open, or else `defaults`, of which some may have no
// weights here.
absl::StatusOr<OpenedExtractors> OpenExtractors(const VideosOptions& options,
                                                const std::vector<std::string>& defaults, Env& env);

// --videos, --reference, --extractor, --fvd-sha256, --divisor, --resamples.
void AddVideosOptions(CLI::App* app, VideosOptions& options);

// For the footer of the help: an example and the keys of the JSON.
std::string VideosHelp();

// Both folders must be named. An extractor that was asked for by name must open; of the default one
// the report says what is missing.
absl::Status RunVideos(const VideosOptions& options, Session& session);

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_EVALUATE_VIDEOS_COMMAND_H_
