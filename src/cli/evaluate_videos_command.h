// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The part of `wanlite evaluate` that needs no model: two folders of clips.
#ifndef WANLITE_SRC_CLI_EVALUATE_VIDEOS_COMMAND_H_
#define WANLITE_SRC_CLI_EVALUATE_VIDEOS_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/cli/session.h"
#include "src/metrics/frechet.h"

namespace wanlite::cli {

struct VideosOptions {
  std::string videos, reference;
  std::vector<std::string> extractors;  // empty: the default, and it may be missing
  std::string divisor = "n-1";
  int resamples = 200;
};

// "n-1" or "n", of --divisor.
absl::StatusOr<CovarianceDivisor> ParseDivisor(const std::string& name);

// --videos, --reference, --extractor, --divisor, --resamples.
void AddVideosOptions(CLI::App* app, VideosOptions& options);

// For the footer of the help: an example and the keys of the JSON.
std::string VideosHelp();

// Both folders must be named. An extractor that was asked for by name must open; of the default one
// the report says what is missing.
absl::Status RunVideos(const VideosOptions& options, Session& session);

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_EVALUATE_VIDEOS_COMMAND_H_
