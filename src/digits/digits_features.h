// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The reader of Wan-Digits as a feature extractor.
#ifndef WANLITE_SRC_DIGITS_DIGITS_FEATURES_H_
#define WANLITE_SRC_DIGITS_DIGITS_FEATURES_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/metrics/extractors.h"
#include "wanlite/env.h"

namespace wanlite::digits {

// "FD-Digits": pooled features of the digit-and-direction classifier in folder `dir`
// (digits_classifier.h): 12 times its width. Frames of another size than 64x64 are resized.
// InvalidArgument for clips of fewer than 5 frames. It was trained on the real clips of Wan-Digits,
// so it knows these digits better than any other extractor, and nothing else.
absl::StatusOr<std::unique_ptr<FeatureExtractor>> OpenDigitsFeatures(Env& env,
                                                                     absl::string_view dir);

// Adds it to a list of extractors as "digits:DIR".
absl::Status RegisterDigitsFeatures(ExtractorRegistry& registry);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIGITS_FEATURES_H_
