// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a Fréchet distance is measured with. The number means nothing without its extractor, so
// every extractor carries the name, digest and preprocessing that reports must print.
#ifndef WANLITE_SRC_METRICS_FEATURE_EXTRACTOR_H_
#define WANLITE_SRC_METRICS_FEATURE_EXTRACTOR_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  // Name of the distance it gives: "FD-TransNetV2". Only a pinned I3D may be called "FVD".
  virtual const std::string& distance_name() const = 0;
  // SHA-256 of the weights.
  virtual const std::string& digest() const = 0;
  virtual int64_t dim() const = 0;
  // One sentence: sizes, resampling, value range.
  virtual const std::string& preprocessing() const = 0;
  // clip: uint8 [F, H, W, 3] -> fp32 [dim]. InvalidArgument for another shape or dtype.
  virtual absl::StatusOr<at::Tensor> Extract(const at::Tensor& clip) const = 0;
};

// Global averages of the three convolution stages of TransNetV2 (Souček and Lokoč 2020), a 3-D
// network trained on real video for shot boundaries: 64 + 128 + 256 = 448 features. It took no part
// in any training here. Not FVD, and not comparable with published FVD. `weights_path`: the
// safetensors file that tools/convert_transnetv2.py writes.
absl::StatusOr<std::unique_ptr<FeatureExtractor>> OpenTransNetV2(Env& env,
                                                                 absl::string_view weights_path);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_FEATURE_EXTRACTOR_H_
