// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/evaluate_videos.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/metrics.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

// Mean colour and mean change from frame to frame: enough to see content and motion.
class ColourAndMotion : public FeatureExtractor {
 public:
  const std::string& distance_name() const override { return name_; }
  const std::string& digest() const override { return digest_; }
  int64_t dim() const override { return 4; }
  const std::string& preprocessing() const override { return preprocessing_; }
  absl::StatusOr<at::Tensor> Extract(const at::Tensor& clip) const override {
    const at::Tensor x = clip.to(at::kFloat) / 255;
    const at::Tensor change = (x.slice(0, 1) - x.slice(0, 0, -1)).abs().mean();
    return at::cat({x.mean({0, 1, 2}), change.view({1}) * 10});
  }

 private:
  std::string name_ = "FD-Test", digest_ = "abc", preprocessing_ = "none";
};

// Clips that brighten slowly from a start of their own. uint8 [F, 16, 16, 3].
at::Tensor Clip(int64_t seed, double brightness = 0, int64_t frames = 5) {
  at::manual_seed(seed);
  const at::Tensor start = 60 + 40 * torch::rand({1, 1, 1, 3}) + 10 * torch::rand({1, 16, 16, 3});
  const at::Tensor time = torch::arange(frames).view({frames, 1, 1, 1}) * (3 + torch::rand({1}));
  return (start + time + brightness).clamp(0, 255).round().to(at::kByte);
}

void WriteClips(Env& env, const std::string& dir, int64_t count, int64_t first_seed,
                double brightness = 0) {
  REQUIRE_OK(env.CreateFolders(dir));
  for (int64_t i = 0; i < count; ++i) {
    REQUIRE_OK(WriteVideo(env, absl::StrCat(dir, "/clip", i, ".png"),
                          Clip(first_seed + i, brightness), {}));
  }
}

EvaluateVideosOptions Options() {
  EvaluateVideosOptions options;
  options.videos = "videos";
  options.reference = "reference";
  options.extractors.push_back(std::make_shared<ColourAndMotion>());
  options.distance.resamples = 20;
  return options;
}

TEST_CASE("A folder against itself has distance zero and identical pairs") {
  const auto env = NewMemEnv();
  WriteClips(*env, "videos", 6, 1);
  WriteClips(*env, "reference", 6, 1);
  ASSERT_OK_AND_ASSIGN(const VideosReport report, EvaluateVideos(*env, Options()));
  CHECK(report.videos.clips == 6);
  CHECK(report.videos.frames == 5);
  CHECK(report.videos.fps == 16);
  REQUIRE(report.distances.size() == 1);
  CHECK(report.distances[0].all.frechet == Approx(0).margin(1e-9));
  REQUIRE(report.paired.has_value());
  CHECK(report.paired->pairs == 6);
  CHECK(report.paired->identical == 6);
  CHECK(report.paired->psnr_db == kPsnrCap);
  REQUIRE(report.paired->ssim.has_value());
  CHECK(*report.paired->ssim == Approx(1));
}

TEST_CASE("Brighter clips are farther than the floor, and numbers stand at equal sizes") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 21, 100);
  WriteClips(*env, "videos", 8, 300, 80);
  ASSERT_OK_AND_ASSIGN(const VideosReport report, EvaluateVideos(*env, Options()));
  const VideoDistance& distance = report.distances.at(0);
  CHECK(distance.name == "FD-Test");
  CHECK(distance.divisor == "n-1");
  CHECK(distance.all.n_real == 21);
  CHECK(distance.all.n_generated == 8);
  REQUIRE(distance.check.has_value());
  REQUIRE(distance.at_floor_size.has_value());
  CHECK(distance.check->floor.n_real == 8);
  CHECK(distance.check->floor.n_generated == 8);
  CHECK(distance.at_floor_size->n_real == 8);
  CHECK(distance.at_floor_size->n_generated == 8);
  CHECK(distance.at_floor_size->frechet > 10 * distance.check->floor.frechet);
  CHECK(distance.all.interval.low <= distance.all.interval.high);
  CHECK(distance.warning.empty());
  CHECK(distance.check->temporal_check);
}

TEST_CASE("Few clips bring a warning, and a reference of three no floor") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 3, 1);
  WriteClips(*env, "videos", 3, 50);
  ASSERT_OK_AND_ASSIGN(const VideosReport report, EvaluateVideos(*env, Options()));
  CHECK_FALSE(report.distances.at(0).check.has_value());
  CHECK_FALSE(report.distances.at(0).warning.empty());
  CHECK(absl::StrContains(VideosTable(report), "no floor"));
  CHECK(absl::StrContains(VideosTable(report), "warning: "));
}

TEST_CASE("Pairs are the names in both folders, whatever their format") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 4, 1);
  WriteClips(*env, "videos", 2, 1, 20);
  REQUIRE_OK(WriteVideo(*env, "videos/clip3.y4m", Clip(4), {}));
  REQUIRE_OK(WriteVideo(*env, "videos/other.png", Clip(9), {}));
  // Twice the same name: which one is meant is not to be guessed.
  REQUIRE_OK(WriteVideo(*env, "videos/clip2.png", Clip(3), {}));
  REQUIRE_OK(WriteVideo(*env, "videos/clip2.apng", Clip(3), {}));
  ASSERT_OK_AND_ASSIGN(const VideosReport report, EvaluateVideos(*env, Options()));
  REQUIRE(report.paired.has_value());
  CHECK(report.paired->pairs == 3);
  CHECK(report.paired->unpaired_videos == 3);
  CHECK(report.paired->unpaired_reference == 1);
  CHECK(report.paired->identical == 0);
  // Two pairs 20 levels apart (22.1 dB), one within Y4M's rounding (about 50 dB).
  CHECK(report.paired->psnr_db > 28);
  CHECK(report.paired->psnr_db < 36);
}

TEST_CASE("Other files, folders and hidden files are passed over and told") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 2, 1);
  WriteClips(*env, "videos", 2, 1);
  REQUIRE_OK(env->WriteFileAtomically("videos/notes.txt", "seeds"));
  REQUIRE_OK(env->WriteFileAtomically("videos/.hidden.png", "not a png"));
  REQUIRE_OK(env->CreateFolders("videos/more.png"));
  ASSERT_OK_AND_ASSIGN(const VideosReport report, EvaluateVideos(*env, Options()));
  CHECK(report.videos.clips == 2);
  CHECK(report.videos.skipped == std::vector<std::string>{"more.png/", "notes.txt"});
}

// The frames of a clip as files of their own, in a folder, by these names.
void WriteFrames(Env& env, const std::string& dir, const at::Tensor& clip,
                 const std::vector<std::string>& names) {
  REQUIRE_OK(env.CreateFolders(dir));
  for (size_t i = 0; i < names.size(); ++i) {
    REQUIRE_OK(WriteVideo(env, JoinPath(dir, names[i]),
                          clip.narrow(0, static_cast<int64_t>(i), 1).contiguous(), {}));
  }
}

TEST_CASE("A folder of frames is a clip, in the order of the numbers, and pairs by its name") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 3, 1);
  WriteClips(*env, "videos", 2, 1);
  REQUIRE_OK(env->WriteFileAtomically("videos/notes.txt", "seeds"));
  // As text, frame10 would come before frame8; clip2 is the third clip of the reference.
  WriteFrames(*env, "videos/clip2", Clip(3),
              {"frame8.png", "frame9.png", "frame10.webp", "frame11.png", "frame012.png"});
  REQUIRE_OK(env->WriteFileAtomically("videos/clip2/info.json", "{}"));
  VideoOptions lossless;
  lossless.quality = 100;
  REQUIRE_OK(WriteVideo(*env, "videos/clip2/frame10.webp", Clip(3).narrow(0, 2, 1).contiguous(),
                        lossless));
  ASSERT_OK_AND_ASSIGN(const VideosReport report, EvaluateVideos(*env, Options()));
  CHECK(report.videos.clips == 3);
  CHECK(report.videos.skipped == std::vector<std::string>{"notes.txt"});
  REQUIRE(report.paired.has_value());
  CHECK(report.paired->pairs == 3);
  CHECK(report.paired->identical == 3);
}

TEST_CASE("A folder of frames that are no clip is refused with the file") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 3, 1);
  WriteClips(*env, "videos", 2, 1);
  WriteFrames(*env, "videos/other", Clip(3), {"1.png", "2.png", "3.png", "4.png"});
  const auto refused = [&](const std::string& word) {
    const auto report = EvaluateVideos(*env, Options());
    INFO(report.status());
    CHECK(!report.ok());
    CHECK(absl::StrContains(report.status().ToString(), word));
  };
  SECTION("of another size") {
    REQUIRE_OK(WriteVideo(*env, "videos/other/5.png",
                          Clip(3).narrow(0, 4, 1).narrow(1, 0, 12).contiguous(), {}));
    refused("other/1.png has 16x16, videos/other/5.png has 16x12");
  }
  SECTION("an animation among them") {
    REQUIRE_OK(WriteVideo(*env, "videos/other/5.png", Clip(3), {}));
    refused("videos/other/5.png has 5 frames");
  }
  SECTION("a broken one") {
    REQUIRE_OK(env->WriteFileAtomically("videos/other/5.png", "no picture"));
    refused("videos/other/5.png");
  }
  SECTION("a GIF beside the clips") {
    REQUIRE_OK(env->WriteFileAtomically("videos/clip.gif", "GIF89a..."));
    refused("videos/clip.gif: GIF is not read");
  }
}

TEST_CASE("What cannot be scored is refused with names") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 3, 1);
  const auto refused = [&](absl::StatusCode code, const std::vector<std::string>& words) {
    const auto report = EvaluateVideos(*env, Options());
    INFO(report.status());
    CHECK(report.status().code() == code);
    for (const std::string& word : words) {
      CHECK(absl::StrContains(report.status().ToString(), word));
    }
  };
  refused(absl::StatusCode::kNotFound, {"'videos'"});
  REQUIRE_OK(env->CreateFolders("videos"));
  refused(absl::StatusCode::kInvalidArgument, {"'videos' holds 0 clips", "at least 2"});
  WriteClips(*env, "videos", 1, 1);
  refused(absl::StatusCode::kInvalidArgument, {"'videos' holds 1 clips"});

  SECTION("another length") {
    REQUIRE_OK(WriteVideo(*env, "videos/long.png", Clip(7, 0, 6), {}));
    refused(absl::StatusCode::kInvalidArgument,
            {"reference/clip0.png has 5 frames of 16x16", "videos/long.png has 6 frames of 16x16"});
  }
  SECTION("another size") {
    REQUIRE_OK(WriteVideo(*env, "videos/small.webp", Clip(7).narrow(1, 0, 12).contiguous(), {}));
    refused(absl::StatusCode::kInvalidArgument, {"videos/small.webp has 5 frames of 16x12"});
  }
  SECTION("a broken clip") {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("videos/clip0.png"));
    REQUIRE_OK(env->WriteFileAtomically("videos/cut.png", bytes.substr(0, bytes.size() / 2)));
    refused(absl::StatusCode::kInvalidArgument, {"videos/cut.png: PNG: truncated"});
  }
  SECTION("not a video behind the ending of one") {
    REQUIRE_OK(env->WriteFileAtomically("videos/page.mp4", "<html>"));
    refused(absl::StatusCode::kInvalidArgument, {"videos/page.mp4", "<html>"});
  }
}

TEST_CASE("The JSON has the documented keys, and null where nothing was measured") {
  const auto env = NewMemEnv();
  WriteClips(*env, "reference", 4, 1);
  WriteClips(*env, "videos", 4, 50, 10);
  EvaluateVideosOptions options = Options();
  ASSERT_OK_AND_ASSIGN(VideosReport report, EvaluateVideos(*env, options));
  auto json = nlohmann::json::parse(VideosJson(report));
  CHECK(json["videos"]["clips"] == 4);
  CHECK(json["videos"]["flicker"]["frame_difference"].get<double>() > 0);
  const auto& distance = json["distances"][0];
  CHECK(distance["name"] == "FD-Test");
  CHECK(distance["distance"]["frechet"].get<double>() == report.distances[0].all.frechet);
  CHECK(distance["distance"]["interval"].size() == 2);
  CHECK(distance["floor"]["n_real"] == 2);
  CHECK(distance["temporal_check"]["passed"].is_boolean());
  CHECK(json["paired"]["pairs"] == 4);

  options.distance.resamples = 0;
  ASSERT_OK_AND_ASSIGN(report, EvaluateVideos(*env, options));
  json = nlohmann::json::parse(VideosJson(report));
  CHECK(json["distances"][0]["distance"]["interval"].is_null());

  options.extractors.clear();
  options.missing = {"no weights"};
  ASSERT_OK_AND_ASSIGN(report, EvaluateVideos(*env, options));
  json = nlohmann::json::parse(VideosJson(report));
  CHECK(json["distances"].empty());
  CHECK(json["missing"][0] == "no weights");
  CHECK(absl::StrContains(VideosTable(report), "missing: no weights"));
}

}  // namespace
}  // namespace wanlite
