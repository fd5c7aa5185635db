// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_features.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/digits/digits_classifier.h"
#include "src/metrics/extractors.h"
#include "wanlite/status.h"

namespace wanlite::digits {
namespace {

constexpr int64_t kSize = 64;  // of the clips it was trained on

class DigitsFeatures : public FeatureExtractor {
 public:
  DigitsFeatures(std::shared_ptr<const DigitsClassifier> classifier, std::string digest)
      : classifier_(std::move(classifier)), digest_(std::move(digest)) {}

  const std::string& distance_name() const override { return name_; }
  const std::string& digest() const override { return digest_; }
  const std::string& preprocessing() const override { return preprocessing_; }
  int64_t dim() const override { return classifier_->feature_width(); }

  absl::StatusOr<at::Tensor> Extract(const at::Tensor& clip) const override {
    WANLITE_RETURN_IF_ERROR(CheckClip(clip));
    if (clip.size(0) < VideoTrunk::kMinFrames) {
      return absl::InvalidArgumentError(absl::StrCat(name_, ": the clip has ", clip.size(0),
                                                     " frames, at least ", VideoTrunk::kMinFrames,
                                                     " are wanted"));
    }
    return CatchTorch([&]() -> at::Tensor {
      const at::NoGradGuard no_grad;
      at::Tensor video = ClipToVideo(clip);  // [1, 3, F, H, W]
      if (video.size(3) != kSize || video.size(4) != kSize) {
        const at::Tensor frames = video[0].transpose(0, 1);  // [F, 3, H, W]
        video = at::_upsample_bilinear2d_aa(frames, {kSize, kSize}, /*align_corners=*/false)
                    .transpose(0, 1)
                    .unsqueeze(0)
                    .contiguous();
      }
      return classifier_->Features(video)[0];
    });
  }

 private:
  std::shared_ptr<const DigitsClassifier> classifier_;
  std::string digest_;
  std::string name_ = "FD-Digits";
  std::string preprocessing_ =
      "frames of 64x64, others resized to it, bilinear with antialiasing, [-1, 1]; averages and "
      "maxima "
      "of the last layer of the digit-and-direction classifier";
};

}  // namespace

absl::StatusOr<std::unique_ptr<FeatureExtractor>> OpenDigitsFeatures(Env& env,
                                                                     absl::string_view dir) {
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<FeatureExtractor>> {
    auto classifier = DigitsClassifier::Load(env, dir);
    if (!classifier.ok()) return Annotate(classifier.status(), "digits features");
    WANLITE_ASSIGN_OR_RETURN(const auto file, env.Map(JoinPath(dir, "model.safetensors")));
    return std::make_unique<DigitsFeatures>(*std::move(classifier),
                                            Sha256Hex({file->data().data(), file->data().size()}));
  });
}

absl::Status RegisterDigitsFeatures(ExtractorRegistry& registry) {
  return registry.Register({"digits", "DIR", /*argument_optional=*/false,
                            [](Env& env, absl::string_view dir, const ExtractorOptions&) {
                              return OpenDigitsFeatures(env, dir);
                            }});
}

}  // namespace wanlite::digits
