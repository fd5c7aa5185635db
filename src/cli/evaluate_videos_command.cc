// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/cli/evaluate_videos_command.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "src/digits/digits_features.h"
#include "src/evaluate/evaluate_videos.h"
#include "src/metrics/extractors.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

constexpr char kDefaultExtractor[] = "transnetv2";

}  // namespace

absl::StatusOr<CovarianceDivisor> ParseDivisor(const std::string& name) {
  for (const auto divisor : {CovarianceDivisor::kUnbiased, CovarianceDivisor::kPopulation}) {
    if (name == CovarianceDivisorName(divisor)) return divisor;
  }
  return absl::InvalidArgumentError(absl::StrCat("--divisor is '", name, "', it must be n-1 or n"));
}

absl::StatusOr<OpenedExtractors> OpenExtractors(const VideosOptions& options,
                                                const std::vector<std::string>& defaults,
                                                Env& env) {
  ExtractorRegistry known = BuiltinExtractors();
  WANLITE_RETURN_IF_ERROR(digits::RegisterDigitsFeatures(known));
  const bool asked = !options.extractors.empty();
  OpenedExtractors opened;
  for (const std::string& spec : asked ? options.extractors : defaults) {
    auto extractor = known.Open(env, spec, ExtractorOptions{options.fvd_sha256});
    if (extractor.ok()) {
      opened.extractors.push_back(*std::move(extractor));
    } else if (asked || !absl::IsNotFound(extractor.status())) {
      return Annotate(extractor.status(), absl::StrCat("--extractor ", spec));
    } else {
      opened.missing.emplace_back(spec, extractor.status().message());
    }
  }
  return opened;
}

void AddVideosOptions(CLI::App* app, VideosOptions& options) {
  app->add_option("--videos", options.videos, "folder of clips to score against --reference")
      ->type_name("DIR");
  app->add_option("--reference", options.reference, "folder of clips to hold them against")
      ->type_name("DIR");
  app->add_option("--extractor", options.extractors,
                  "network of the set distance, may be repeated (default: transnetv2 when its "
                  "weights are there)")
      ->type_name("SPEC");
  app->add_option("--fvd-sha256", options.fvd_sha256,
                  "digest of an I3D file whose distance may be called FVD")
      ->type_name("HEX");
  app->add_option("--divisor", options.divisor, "of the covariance: n-1 or n")
      ->type_name("NAME")
      ->capture_default_str();
  app->add_option("--resamples", options.resamples,
                  "of the bootstrap interval of set distances; 0: no interval")
      ->type_name("N")
      ->check(CLI::Range(0, 100000))
      ->check([](const std::string& text) {
        return text == "1" ? std::string("is 1, it must be 0 (no interval) or at least 2") : "";
      })
      ->capture_default_str();
}

std::string VideosHelp() {
  return "wanlite evaluate --videos DIR --reference DIR --json\n\n"
         "Scores two folders of clips (PNG, animated PNG, WebP, Y4M; MP4 where libav is), told by\n"
         "content, or folders of frames (clip/frame1.png, clip/frame2.png, ...). GIF is not read.\n"
         "Keys: videos and reference (clips, frames, height, width, fps, flicker), "
         "distances\n"
         "(one per extractor: name, digest, preprocessing, dim, covariance_divisor, distance, "
         "floor of\n"
         "reference against reference, at_floor_size: the distance at the floor's number of "
         "clips,\n"
         "temporal_check, warning; each distance with frechet, interval, kernel_distance, n_real,\n"
         "n_generated), paired (of equal file names: pairs, psnr_db, ssim), missing.";
}

absl::Status RunVideos(const VideosOptions& options, Session& session) {
  if (options.videos.empty() || options.reference.empty()) {
    return absl::InvalidArgumentError("--videos and --reference are needed together");
  }
  EvaluateVideosOptions evaluate;
  evaluate.videos = options.videos;
  evaluate.reference = options.reference;
  evaluate.distance.resamples = options.resamples;
  evaluate.progress = &session.progress();
  evaluate.cancel = &session.cancel();
  WANLITE_ASSIGN_OR_RETURN(evaluate.distance.divisor, ParseDivisor(options.divisor));
  WANLITE_ASSIGN_OR_RETURN(OpenedExtractors opened,
                           OpenExtractors(options, {kDefaultExtractor}, session.env()));
  for (auto& extractor : opened.extractors) evaluate.extractors.push_back(std::move(extractor));
  for (const auto& [spec, why] : opened.missing) {
    evaluate.missing.push_back(
        absl::StrCat("no set distance, since the default extractor has no weights here: ", why));
  }
  WANLITE_ASSIGN_OR_RETURN(const VideosReport report, EvaluateVideos(session.env(), evaluate));
  if (session.json) {
    session.PrintJsonText(VideosJson(report));
  } else {
    session.Say(VideosTable(report));
  }
  return absl::OkStatus();
}

}  // namespace wanlite::cli
