// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/metrics/set_distance.h"

#include <cmath>
#include <limits>
#include <string>

#include "src/core/libtorch.h"
#include "src/metrics/extractors.h"
#include "tests/testing/catch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// A bright square that moves over a dark ground, from a place and in a direction of its own.
at::Tensor MovingSquare(int64_t index, int64_t frames = 9, int64_t size = 24) {
  at::Tensor clip = at::full({frames, size, size, 3}, 20, at::kByte);
  for (int64_t t = 0; t < frames; ++t) {
    const int64_t x = (index * 7 + t * 2) % (size - 6),
                  y = (index * 5 + t * (index % 3)) % (size - 6);
    clip[t].slice(0, y, y + 6).slice(1, x, x + 6).fill_(150 + index % 100);
  }
  return clip;
}

ClipSet Squares(const std::string& name, int64_t count, int64_t first = 0) {
  return {name, count,
          [first](int64_t i) -> absl::StatusOr<at::Tensor> { return MovingSquare(first + i); }};
}

std::unique_ptr<FeatureExtractor> Random3d() {
  ASSERT_OK_AND_ASSIGN(auto extractor, BuiltinExtractors().Open(PosixEnv(), "random3d", {}));
  return extractor;
}

// Features are the means of the colours, or NaN for one clip.
class MeanColour : public FeatureExtractor {
 public:
  const std::string& distance_name() const override { return name_; }
  const std::string& digest() const override { return name_; }
  const std::string& preprocessing() const override { return name_; }
  int64_t dim() const override { return 3; }
  absl::StatusOr<at::Tensor> Extract(const at::Tensor& clip) const override {
    at::Tensor mean = clip.to(at::kFloat).mean({0, 1, 2});
    if (clip.max().item<int>() == 255) mean[1] = std::numeric_limits<float>::quiet_NaN();
    return mean;
  }

 private:
  std::string name_ = "mean colour";
};

absl::StatusOr<ExtractorReport> Check(const FeatureExtractor& extractor, const ClipSet& real,
                                      const ClipSet& other, const DistanceOptions& options,
                                      FeatureSet* real_features) {
  WANLITE_ASSIGN_OR_RETURN(const RealFeatures features,
                           ExtractRealFeatures(extractor, real, other, options));
  if (real_features != nullptr) *real_features = features.real;
  return CheckExtractor(extractor, features, options);
}

class CountingSink : public ProgressSink {
 public:
  void Begin(absl::string_view what, int64_t total) override {
    what_ = std::string(what);
    total_ = total;
  }
  void Update(int64_t done, absl::string_view) override {
    done_ = done;
    if (cancel_ != nullptr && done == 2) cancel_->Cancel();
  }
  void End() override { ++ends_; }

  std::string what_;
  int64_t total_ = 0, done_ = 0, ends_ = 0;
  CancellationToken* cancel_ = nullptr;
};

}  // namespace

TEST_CASE("features of a set keep the order of its clips and their geometry") {
  const auto extractor = Random3d();
  CountingSink sink;
  ASSERT_OK_AND_ASSIGN(const FeatureSet set,
                       ExtractFeatures(*extractor, Squares("squares", 4), &sink));
  CHECK(set.features.sizes().vec() == std::vector<int64_t>{4, extractor->dim()});
  CHECK(set.features.scalar_type() == at::kFloat);
  CHECK((set.frames == 9 && set.height == 24 && set.width == 24));
  CHECK(set.features[2].equal(*extractor->Extract(MovingSquare(2))));
  CHECK(sink.what_ == "FD-random3d: squares");
  CHECK((sink.total_ == 4 && sink.done_ == 4 && sink.ends_ == 1));
}

TEST_CASE(
    "a set is refused for no clips, unequal clips, broken clips and features that are no numbers") {
  const auto message = [](const ClipSet& clips) {
    const auto set = ExtractFeatures(MeanColour(), clips);
    REQUIRE_FALSE(set.ok());
    CHECK(set.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(set.status().message());
  };
  CHECK(message({"holiday", 0, nullptr}) == "holiday: there are no clips");
  CHECK(message({"mixed", 3,
                 [](int64_t i) -> absl::StatusOr<at::Tensor> {
                   return MovingSquare(i, i == 2 ? 8 : 9);
                 }}) ==
        "clips of different sizes: mixed, clip 2 has 8 frames of 24x24, mixed, clip 0 has 9 frames "
        "of "
        "24x24");
  CHECK(message({"mixed", 2,
                 [](int64_t i) -> absl::StatusOr<at::Tensor> {
                   return at::zeros({5, 8, 8 + i, 3}, at::kByte);
                 }})
            .find("clip 1 has 5 frames of 9x8") != std::string::npos);
  CHECK(message({"broken", 1, [](int64_t) -> absl::StatusOr<at::Tensor> {
                   return absl::InvalidArgumentError("no frames");
                 }}) == "broken, clip 0: no frames");
  CHECK(message({"white", 2, [](int64_t i) -> absl::StatusOr<at::Tensor> {
                   return at::full({3, 4, 4, 3}, 254 + i, at::kByte);
                 }}) == "white, clip 1: the features of mean colour are not finite");
}

TEST_CASE("a set that is cancelled stops at the next clip") {
  CancellationToken cancel;
  CountingSink sink;
  sink.cancel_ = &cancel;
  const auto set = ExtractFeatures(MeanColour(), Squares("squares", 50), &sink, &cancel);
  CHECK(absl::IsCancelled(set.status()));
  CHECK(sink.done_ == 2);
  CHECK(sink.ends_ == 1);
}

TEST_CASE("damage keeps frames and changes their order alone") {
  const at::Tensor clip = MovingSquare(3);
  const at::Tensor frozen = DamageClip(clip, TemporalDamage::kFrozen, 1);
  CHECK(frozen.sizes() == clip.sizes());
  CHECK(frozen[8].equal(clip[0]));
  for (const int64_t frames : {2, 3, 9}) {
    at::Tensor numbered =
        at::arange(frames).to(at::kByte).reshape({-1, 1, 1, 1}).expand({-1, 2, 2, 3});
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const at::Tensor order = DamageClip(numbered, TemporalDamage::kShuffled, seed)
                                   .select(3, 0)
                                   .select(2, 0)
                                   .select(1, 0);
      CHECK_FALSE(order.equal(at::arange(frames).to(at::kByte)));
      CHECK(std::get<0>(order.sort()).equal(at::arange(frames).to(at::kByte)));
    }
  }
  CHECK(DamageClip(clip, TemporalDamage::kShuffled, 5)
            .equal(DamageClip(clip, TemporalDamage::kShuffled, 5)));
  CHECK(DamageClip(clip.narrow(0, 0, 1), TemporalDamage::kShuffled, 5).equal(clip.narrow(0, 0, 1)));
}

TEST_CASE("a distance between sets is the one of its features, with an interval when asked") {
  FeatureSet a, b;
  a.features = at::randn({30, 6}, at::detail::createCPUGenerator(1));
  b.features = at::randn({20, 6}, at::detail::createCPUGenerator(2)) + 0.5;
  DistanceOptions options;
  options.divisor = CovarianceDivisor::kPopulation;
  options.resamples = 0;
  ASSERT_OK_AND_ASSIGN(const SetDistance plain, MeasureSetDistance(a, b, options));
  CHECK(plain.frechet == *FrechetDistance(a.features, b.features, CovarianceDivisor::kPopulation));
  CHECK(plain.kernel == *KernelDistance(a.features, b.features));
  CHECK((plain.n_real == 30 && plain.n_generated == 20 && plain.dim == 6));
  CHECK((plain.interval.low == 0 && plain.interval.high == 0));
  options.resamples = 50;
  ASSERT_OK_AND_ASSIGN(const SetDistance wide, MeasureSetDistance(a, b, options));
  CHECK((wide.interval.low < wide.frechet && wide.frechet < wide.interval.high));
  CancellationToken cancel;
  cancel.Cancel();
  CHECK(MeasureSetDistance(a, b, options, &cancel).status().code() == absl::StatusCode::kCancelled);
  options.resamples = 1;
  CHECK_FALSE(MeasureSetDistance(a, b, options).ok());
  a.frames = 17, a.height = 64, a.width = 64;
  b.frames = 13, b.height = 64, b.width = 48;
  CHECK(std::string(MeasureSetDistance(a, b, {}).status().message()) ==
        "clips of different sizes: real ones have 17 frames of 64x64, generated ones 13 frames of "
        "48x64");
}

TEST_CASE("a change of distance is bootstrapped in pairs, so what both sets share cancels") {
  FeatureSet real, a, b;
  real.features = at::randn({40, 5}, at::detail::createCPUGenerator(1));
  a.features = at::randn({40, 5}, at::detail::createCPUGenerator(2)) + 0.5;
  // The same clips, all a little farther: clip by clip the models differ by next to nothing.
  b.features = a.features * 1.02;
  DistanceOptions options;
  ASSERT_OK_AND_ASSIGN(const SetDistance from, MeasureSetDistance(real, a, options));
  ASSERT_OK_AND_ASSIGN(const SetDistance to, MeasureSetDistance(real, b, options));
  ASSERT_OK_AND_ASSIGN(const DistanceChange change, CompareDistances(from, to, options.confidence));
  CHECK(change.frechet == Approx(to.frechet - from.frechet).epsilon(1e-12));
  CHECK(change.interval.low < change.frechet);
  CHECK(change.frechet < change.interval.high);
  const double width = change.interval.high - change.interval.low;
  CHECK(width < 0.2 * (from.interval.high - from.interval.low));
  ASSERT_OK_AND_ASSIGN(const DistanceChange none, CompareDistances(from, from, options.confidence));
  CHECK((none.frechet == 0 && none.interval.low == 0 && none.interval.high == 0));

  SetDistance fewer = to;
  fewer.n_generated = 30;
  CHECK(absl::IsInvalidArgument(CompareDistances(from, fewer, 0.95).status()));
}

TEST_CASE("an extractor that sees motion passes the temporal check, one that does not fails it") {
  DistanceOptions options;
  options.resamples = 10;
  FeatureSet features;
  const auto extractor = Random3d();
  ASSERT_OK_AND_ASSIGN(
      const ExtractorReport report,
      Check(*extractor, Squares("a", 16), Squares("b", 16, 16), options, &features));
  CHECK(report.name == "FD-random3d");
  CHECK(report.digest == extractor->digest());
  CHECK(report.divisor == "n-1");
  CHECK((report.clips == 16 && report.frames == 9 && report.height == 24 && report.width == 24));
  CHECK(report.dim == extractor->dim());
  CHECK(report.warning.find("only 16 clips") != std::string::npos);
  CHECK(report.temporal_check);
  CHECK(report.frozen.frechet > report.floor.frechet);
  CHECK(features.features.equal(ExtractFeatures(*extractor, Squares("a", 16))->features));

  ASSERT_OK_AND_ASSIGN(const ExtractorReport blind, Check(MeanColour(), Squares("a", 16),
                                                          Squares("b", 16, 16), options, nullptr));
  CHECK_FALSE(blind.temporal_check);
  CHECK(blind.warning.empty());
  CHECK(blind.shuffled.frechet == Approx(blind.floor.frechet).margin(1e-3));

  const auto unequal = Check(MeanColour(), Squares("a", 4), Squares("b", 5), options, nullptr);
  CHECK(std::string(unequal.status().message()).find("a has 4, b has 5") != std::string::npos);
}

}  // namespace wanlite
