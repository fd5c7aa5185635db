// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// What the evaluation set of Wan-Digits promises.
#include "src/digits/digits_set.h"

#include "src/core/libtorch.h"
#include "src/evaluate/set_scorer.h"
#include "tests/testing/catch.h"

namespace wanlite::digits {
namespace {

constexpr char kDigitsDir[] = "examples/digits";

TEST_CASE("Both sets of real digits show what the prompts say, by different hands") {
  constexpr int64_t kClips = 8;
  ASSERT_OK_AND_ASSIGN(const EvaluationSet set, MakeDigitsSet(PosixEnv(), kDigitsDir, kClips, 7));
  REQUIRE(set.real.count == kClips);
  REQUIRE(set.other_real.count == kClips);
  int64_t digits = 0;
  for (int64_t i = 0; i < kClips; ++i) {
    ASSERT_OK_AND_ASSIGN(const at::Tensor clip, set.real.clip(i));
    ASSERT_OK_AND_ASSIGN(const at::Tensor other, set.other_real.clip(i));
    CHECK_FALSE(at::equal(clip, other));
    ASSERT_OK_AND_ASSIGN(const ClipReading reading, set.read(i, other));
    INFO(set.prompts[static_cast<size_t>(i)].text);
    // The reader sees every direction and every colour of real clips.
    CHECK(reading.direction);
    CHECK(reading.colour);
    digits += reading.digit;
  }
  CHECK(digits >= 5);
}

TEST_CASE("The fingerprint of a set is that of its clips") {
  const auto fingerprint = [](int64_t count, uint64_t seed) {
    ASSERT_OK_AND_ASSIGN(const EvaluationSet set,
                         MakeDigitsSet(PosixEnv(), kDigitsDir, count, seed));
    return set.fingerprint;
  };
  const std::string first = fingerprint(3, 7);
  CHECK(first == fingerprint(3, 7));
  CHECK(first != fingerprint(4, 7));
  CHECK(first != fingerprint(3, 8));
}

TEST_CASE("A digit that turns into another one on the way is not consistent") {
  constexpr int64_t kClips = 12;
  ASSERT_OK_AND_ASSIGN(EvaluationSet set, MakeDigitsSet(PosixEnv(), kDigitsDir, kClips, 3));
  set.embed_clip = nullptr;  // alignment is not what this is about
  SetScorer intact(set, /*with_features=*/false), spliced(set, /*with_features=*/false);
  for (int64_t i = 0; i < kClips; ++i) {
    ASSERT_OK_AND_ASSIGN(const at::Tensor clip, set.real.clip(i));
    ASSERT_OK_AND_ASSIGN(const at::Tensor next, set.real.clip((i + 1) % kClips));
    REQUIRE_OK(intact.Add(clip));
    REQUIRE_OK(spliced.Add(at::cat({clip.narrow(0, 0, 9), next.narrow(0, 9, 8)})));
  }
  ASSERT_OK_AND_ASSIGN(const SetQuality real, intact.Finish());
  ASSERT_OK_AND_ASSIGN(const SetQuality broken, spliced.Finish());
  REQUIRE(real.languages.back().language == "all");
  CHECK(real.languages.back().digit_consistency > 0.5);
  CHECK(broken.languages.back().digit_consistency < 0.35);
  double sum = 0;  // "all" is the mean of the languages, of four clips each
  for (size_t i = 0; i + 1 < real.languages.size(); ++i) {
    sum += real.languages[i].digit_consistency / 3;
  }
  CHECK(real.languages.back().digit_consistency == Approx(sum));
}

}  // namespace
}  // namespace wanlite::digits
