// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A text-video (or text-image) encoder of the user's, for alignment scores.
#ifndef WANLITE_SRC_METRICS_TEXT_VIDEO_ENCODER_H_
#define WANLITE_SRC_METRICS_TEXT_VIDEO_ENCODER_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/alignment.h"
#include "wanlite/env.h"

namespace wanlite {

class TextVideoEncoder {
 public:
  virtual ~TextVideoEncoder() = default;
  // For reports: "CLIP-<file stem>, SHA-256 <digest>".
  virtual const std::string& name() const = 0;
  // Unit vectors, fp32 [dim]. clip: uint8 [F, H, W, 3].
  virtual absl::StatusOr<at::Tensor> EmbedText(const std::string& text) const = 0;
  virtual absl::StatusOr<at::Tensor> EmbedClip(const at::Tensor& clip) const = 0;
};

// A TorchScript file with two exported methods, which bring tokenizer, resizing and normalisation
// with them:
//
//   encode_text(text: str) -> Tensor      [dim] or [1, dim]
//   encode_video(video: Tensor) -> Tensor  of [1, 3, F, H, W] in [-1, 1] -> [dim] or [1, dim]
//
// An image CLIP is wrapped so that it averages over frames. InvalidArgument for a broken file, for
// another signature (printed beside the wanted one), and, by the methods, for results that are no
// vectors, not finite, zero, or of different widths.
absl::StatusOr<std::unique_ptr<TextVideoEncoder>> OpenTextVideoEncoder(Env& env,
                                                                       absl::string_view path);

// The same file for training: videos go through it one by one, with gradients, on the CPU.
// `encode_video` must let them pass. Errors as above, at the first call.
absl::StatusOr<std::unique_ptr<VideoTextEncoder>> OpenTrainingEncoder(Env& env,
                                                                      absl::string_view path);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_TEXT_VIDEO_ENCODER_H_
