// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Videos beside words, for training: an encoder of both into one space, and a decoder that
// gradients pass through. Passes get the encoder from the program (CompressOptions::alignment), and
// find the decoder in the model.
#ifndef WANLITE_ALIGNMENT_H_
#define WANLITE_ALIGNMENT_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace wanlite {

// A text-video encoder, a CLIP of videos. Calls may come from several threads at once.
class VideoTextEncoder {
 public:
  virtual ~VideoTextEncoder() = default;
  // For messages: its kind and file.
  virtual const std::string& name() const = 0;
  // Of all that its vectors depend on: part of the identity of a training.
  virtual const std::string& fingerprint() const = 0;
  // video: floating [B, 3, F, H, W] in [-1, 1], on the CPU or the device of the training ->
  // [B, dim], fp32 unit vectors there. Passes gradients to the video. Throws c10::Error.
  virtual at::Tensor EmbedVideo(const at::Tensor& video) const = 0;
  // Unit vectors, fp32 [prompts, dim] on the CPU; takes no gradients.
  virtual absl::StatusOr<at::Tensor> EmbedText(const std::vector<std::string>& prompts) const = 0;
};

// Implemented by the module of an autoencoder.
class LatentDecoder {
 public:
  virtual ~LatentDecoder() = default;
  // latents: [B, channels, frames, height, width] as denoisers see them -> video [B, 3, F, H, W],
  // about [-1, 1]. Passes gradients to the latents. Throws c10::Error.
  virtual at::Tensor DecodeLatents(const at::Tensor& latents) const = 0;
};

}  // namespace wanlite

#endif  // WANLITE_ALIGNMENT_H_
