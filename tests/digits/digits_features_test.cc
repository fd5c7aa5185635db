// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_features.h"

#include <string>

#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/digits/digits_classifier.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"

namespace wanlite::digits {
namespace {

using testing::TempFolder;

absl::StatusOr<std::unique_ptr<FeatureExtractor>> Open(const std::string& spec) {
  ExtractorRegistry registry = BuiltinExtractors();
  REQUIRE_OK(RegisterDigitsFeatures(registry));
  return registry.Open(PosixEnv(), spec, {});
}

at::Tensor Clip(int64_t frames, int64_t height, int64_t width) {
  return at::randint(0, 256, {frames, height, width, 3}, at::detail::createCPUGenerator(1),
                     at::TensorOptions(at::kByte));
}

TEST_CASE("digits features are the classifier's, of resized frames too") {
  const TempFolder temp;
  DigitsClassifier classifier(4);
  classifier.InitParameters(1);
  REQUIRE_OK(classifier.Save(PosixEnv(), temp / "classifier"));
  ASSERT_OK_AND_ASSIGN(const auto extractor, Open("digits:" + (temp / "classifier")));
  CHECK(extractor->distance_name() == "FD-Digits");
  CHECK(extractor->dim() == 48);
  CHECK(extractor->digest() ==
        Sha256Hex(*PosixEnv().ReadFile(temp / "classifier/model.safetensors")));
  const at::Tensor clip = Clip(9, 64, 64);
  const at::Tensor video = clip.to(at::kFloat).permute({3, 0, 1, 2}).unsqueeze(0) / 127.5 - 1;
  CHECK(extractor->Extract(clip)->allclose(classifier.Features(video)[0], 1e-5, 1e-5));
  // A constant clip is the same at any size.
  CHECK(extractor->Extract(at::full({5, 20, 90, 3}, 99, at::kByte))
            ->allclose(*extractor->Extract(at::full({5, 64, 64, 3}, 99, at::kByte)), 1e-4, 1e-4));
  const auto few = extractor->Extract(Clip(4, 64, 64));
  CHECK(std::string(few.status().message()).find("4 frames") != std::string::npos);
  CHECK(absl::IsNotFound(Open("digits:" + (temp / "no")).status()));
}

}  // namespace
}  // namespace wanlite::digits
