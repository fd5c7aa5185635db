// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_set.h"

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/core/sha256.h"
#include "src/digits/digits_classifier.h"
#include "src/digits/digits_clip.h"
#include "src/digits/digits_training.h"
#include "src/digits/render_clips.h"
#include "src/digits/vae_training.h"
#include "src/metrics/extractors.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite::digits {
namespace {

enum Stream : uint64_t { kSpecs = 1, kOtherSpecs = 2, kWording = 3 };

// Shared by the closures of a set.
struct Digits {
  DigitScans scans;
  ClipGeometry geometry;
  std::vector<ClipSpec> specs, other_specs;
  std::shared_ptr<DigitsClassifier> classifier;
};

absl::StatusOr<at::Tensor> Render(const Digits& digits, const ClipSpec& spec) {
  return CatchTorch([&] { return ToFrames(RenderClips(digits.scans, digits.geometry, {spec})); });
}

absl::StatusOr<ClipReading> ReadClip(const Digits& digits, int64_t prompt, const at::Tensor& clip) {
  return CatchTorch([&] {
    const ReadingAccuracy accuracy =
        Read(*digits.classifier, ClipToVideo(clip), {digits.specs[static_cast<size_t>(prompt)]});
    return ClipReading{accuracy.digit > 0, accuracy.direction > 0, accuracy.colour > 0,
                       accuracy.digit_consistency > 0};
  });
}

// Another clip of what `spec` shows: the same digit, direction and colour, by another hand, in
// another place.
ClipSpec SampleAlike(const Digits& digits, const ClipSpec& spec, uint64_t seed) {
  constexpr uint64_t kPatience = 1 << 17;  // where there is no other scan of the digit
  for (uint64_t draw = 0;; ++draw) {
    const ClipSpec other = SampleClip(digits.scans, digits.geometry, Split::kHeldOut,
                                      Combinations::kAll, MixSeed(seed, {draw}));
    if (other.digit == spec.digit && other.direction == spec.direction &&
        other.colour == spec.colour && (other.scan != spec.scan || draw >= kPatience)) {
      return other;
    }
  }
}

// A wording that names the colour, so that every prompt says all that is read.
std::string Prompt(const ClipSpec& spec, Language language, uint64_t seed) {
  Random random(seed);
  int wording = 0;
  do {
    wording = static_cast<int>(random.Below(CaptionTemplates(language)));
  } while (!CaptionNamesColour(language, wording));
  return Caption(spec, language, wording);
}

}  // namespace

absl::StatusOr<EvaluationSet> MakeDigitsSet(Env& env, const std::string& dir, int64_t count,
                                            uint64_t seed) {
  constexpr int64_t kFewest = 2, kMost = 100000;
  if (count < kFewest || count > kMost) {
    return absl::InvalidArgumentError(absl::StrCat("an evaluation set of ", count,
                                                   " clips; at least ", kFewest, " and at most ",
                                                   kMost, " are taken"));
  }
  auto digits = std::make_shared<Digits>();
  WANLITE_ASSIGN_OR_RETURN(const DigitsTrainOptions options,
                           LoadDigitsOptions(env, JoinPath(dir, "train.textproto")));
  WANLITE_ASSIGN_OR_RETURN(digits->geometry, CheckedGeometry(options.data()));
  const std::string scans_path = JoinPath(dir, options.data().scans_file());
  WANLITE_ASSIGN_OR_RETURN(digits->scans, DigitScans::Load(env, scans_path));
  WANLITE_ASSIGN_OR_RETURN(const std::string scans_bytes, env.ReadFile(scans_path));
  WANLITE_ASSIGN_OR_RETURN(digits->classifier,
                           DigitsClassifier::Load(env, JoinPath(dir, "classifier")));
  WANLITE_ASSIGN_OR_RETURN(DigitsClip::Loaded loaded, DigitsClip::Load(env, JoinPath(dir, "clip")));
  const auto clip = std::make_shared<DigitsClip::Loaded>(std::move(loaded));

  EvaluationSet set;
  set.name = "digits";
  set.fingerprint = Sha256Hex(absl::StrCat("digits,", count, ",", seed, ",",
                                           options.data().SerializeAsString(), ",", scans_bytes));
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t id = static_cast<uint64_t>(i);
    digits->specs.push_back(SampleClip(digits->scans, digits->geometry, Split::kHeldOut,
                                       Combinations::kAll, MixSeed(seed, {kSpecs, id})));
    digits->other_specs.push_back(
        SampleAlike(*digits, digits->specs.back(), MixSeed(seed, {kOtherSpecs, id})));
    const auto language = static_cast<Language>(i % kLanguages);
    set.prompts.push_back({Prompt(digits->specs.back(), language, MixSeed(seed, {kWording, id})),
                           std::string(LanguageName(language)), seed + id});
  }
  const auto clips_of = [&](const char* name, std::vector<ClipSpec> Digits::*specs) {
    return ClipSet{name, count, [digits, specs](int64_t index) {
                     return Render(*digits, ((*digits).*specs)[static_cast<size_t>(index)]);
                   }};
  };
  set.real = clips_of("real clips", &Digits::specs);
  set.other_real = clips_of("other real clips", &Digits::other_specs);
  set.real_follows_prompts = true;
  set.embed_text = [clip](const std::string& text) -> absl::StatusOr<at::Tensor> {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor rows, clip->EmbedCaptions({text}));
    return rows[0];
  };
  set.embed_clip = [clip](const at::Tensor& frames) -> absl::StatusOr<at::Tensor> {
    return CatchTorch([&] {
      const at::NoGradGuard no_grad;
      return clip->network->EmbedVideo(ClipToVideo(frames))[0];
    });
  };
  set.encoder_name = "Digits-CLIP";
  set.read = [digits](int64_t prompt, const at::Tensor& frames) {
    return ReadClip(*digits, prompt, frames);
  };
  return set;
}

}  // namespace wanlite::digits
