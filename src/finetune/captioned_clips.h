// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A folder of clips with a caption beside each, and what a model's VAE and text encoder make of
// them.
#ifndef WANLITE_SRC_FINETUNE_CAPTIONED_CLIPS_H_
#define WANLITE_SRC_FINETUNE_CAPTIONED_CLIPS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/evaluate/clip_folder.h"
#include "wanlite/dataset.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"
#include "wanlite/runner.h"

namespace wanlite::finetune {

// To what clips are brought; 0: as they are.
struct ClipSize {
  int64_t frames = 0, height = 0, width = 0;
};

class CaptionedClips {
 public:
  // Lists the clips (see ClipFolder) and reads the caption of each: the text file of the same name,
  // "walk.txt" beside "walk.mp4" or the folder of frames "walk". NotFound, naming them, for clips
  // without one and for a folder without clips; InvalidArgument for a caption that is empty, too
  // long or not UTF-8.
  static absl::StatusOr<CaptionedClips> Open(Env& env, const std::string& dir,
                                             const CancellationToken* cancel);

  int64_t size() const { return static_cast<int64_t>(captions_.size()); }
  const std::string& caption(int64_t i) const { return captions_[i]; }
  std::string path(int64_t i) const { return folder_.path(i); }
  // Of the bytes of all clips and captions.
  const std::string& fingerprint() const { return fingerprint_; }

  // The clip as a network takes it: fp32 [1, 3, F, H, W] in [-1, 1]. Of longer clips the first
  // frames; other sizes are resized, bilinear with antialiasing. InvalidArgument, naming the clip,
  // when it has fewer frames than wanted, or its size is no multiple of the strides.
  absl::StatusOr<at::Tensor> Video(int64_t i, const ClipSize& size, int64_t temporal_stride,
                                   int64_t spatial_multiple);

 private:
  CaptionedClips(Env& env, ClipFolder folder) : env_(&env), folder_(std::move(folder)) {}

  Env* env_;
  ClipFolder folder_;
  std::vector<std::string> captions_;
  std::string fingerprint_;
};

// What VAE and text encoder make of clips and captions; loads them when they are first needed.
class ClipEncoder {
 public:
  // NotFound for a model without a VAE.
  static absl::StatusOr<ClipEncoder> Make(Runner& runner);
  // fp32 [1, z, f, h, w], normalised.
  absl::StatusOr<at::Tensor> Latents(CaptionedClips& clips, int64_t i, const ClipSize& size);
  // fp32 [1, tokens, dim]
  absl::StatusOr<at::Tensor> Text(const std::string& caption);
  // Frees both.
  void Unload();

 private:
  explicit ClipEncoder(Runner& runner) : runner_(&runner) {}
  Runner* runner_;
  int64_t temporal_stride_ = 4, spatial_multiple_ = 16;
  at::Tensor mean_, std_;  // of latents: [1, z, 1, 1, 1]; undefined: they are not normalised
};

// Computes what is not there yet: dir/clip-N.safetensors with "latents" (fp32 [1, z, f, h, w],
// normalised) and "text" (fp32 [1, tokens, dim]), and dir/no_caption.safetensors with the "text" of
// the empty caption. The networks of `runner` are freed at the end.
absl::Status EncodeClips(Env& env, const std::string& dir, Runner& runner, CaptionedClips& clips,
                         const ClipSize& size, ProgressSink& progress,
                         const CancellationToken* cancel);

// The denoisers of a model with two experts; the first is the only one of a model without.
inline constexpr char kHighNoise[] = "transformer", kLowNoise[] = "transformer_2";

// Noise levels that a network is in charge of: from `low` to `high`, in [0, 1].
struct NoiseLevels {
  double low = 0, high = 1;
  double shift = 1;
};
// The levels of the model's denoiser `component`: above `boundary` (0: everywhere) those of
// "transformer", below it those of "transformer_2".
NoiseLevels LevelsOf(const std::string& component, double boundary, double shift);
// The level at a place of [0, 1): evenly between the borders before the shift. Never 0, which would
// be clips without noise, which no sampler shows.
double SigmaAt(const NoiseLevels& levels, double place);
// A clip under noise: x_t = (1 - sigma) x_0 + sigma noise, with the network's inputs
// "hidden_states", "timestep" (1000 sigma, fp32 [1]) and "encoder_hidden_states", and the velocity
// noise - x_0 as kTargetValue.
Values NoisyLatents(const at::Tensor& latents, const at::Tensor& text, double sigma,
                    uint64_t noise_seed);

// What EncodeClips() left, as NoisyLatents() of levels drawn anew for each reading.
absl::StatusOr<std::unique_ptr<Dataset>> OpenEncodedClips(Env& env, const std::string& dir,
                                                          int64_t count, const NoiseLevels& levels,
                                                          double caption_dropout,
                                                          const std::string& fingerprint);

}  // namespace wanlite::finetune

#endif  // WANLITE_SRC_FINETUNE_CAPTIONED_CLIPS_H_
