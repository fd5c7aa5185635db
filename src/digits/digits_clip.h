// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Digits-CLIP: a small contrastive text-video encoder (Radford et al. 2021, with clips for images),
// trained on the captions and clips of Wan-Digits. It scores how well a clip fits its prompt, in
// three languages, and its text tower is what the text encoder of Wan-Digits starts from, as Wan
// starts from a pretrained umT5.
#ifndef WANLITE_SRC_DIGITS_DIGITS_CLIP_H_
#define WANLITE_SRC_DIGITS_DIGITS_CLIP_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/digits/digits.h"
#include "src/digits/dit_training.h"
#include "src/digits/video_trunk.h"
#include "src/model/wan/tokenizer.h"
#include "src/model/wan/umt5.h"
#include "wanlite/alignment.h"
#include "wanlite/env.h"
#include "wanlite/nn.h"
#include "wanlite/train.h"

namespace wanlite::digits {

// Tensors: layers.N.* (see VideoTrunk), video_projection.{weight,bias}, text.* (umT5),
// text_projection.{weight,bias}, logit_scale [1].
class DigitsClip : public VideoTrunk {
 public:
  struct Config {
    int64_t width = 16;      // channels of the first convolution
    int64_t embed_dim = 64;  // of the common space
    int64_t text_length = 26;
    wan::Umt5Config text;
  };
  // Parameters are not initialised. InvalidArgument for sizes that describe no network.
  static absl::StatusOr<std::shared_ptr<DigitsClip>> Create(const Config& config);
  void InitParameters(uint64_t seed);

  // Unit vectors. video: as VideoTrunk::Features -> [B, embed_dim].
  at::Tensor EmbedVideo(const at::Tensor& video) const;
  // ids, mask: int64 [B, T] -> [B, embed_dim], from the mean over tokens of the encoder's output.
  at::Tensor EmbedText(const at::Tensor& ids, const at::Tensor& mask) const;
  // Factor of cosines in the loss, at most 100: fp32 [1].
  at::Tensor Scale() const;

  const Config& config() const { return config_; }
  wan::Umt5& text() const { return *text_; }

  // A folder with config.json, model.safetensors and spiece.model.
  absl::Status Save(Env& env, absl::string_view dir, const std::string& spiece) const;
  struct Loaded;
  static absl::StatusOr<Loaded> Load(Env& env, absl::string_view dir);

 private:
  DigitsClip(const Config& config, std::shared_ptr<wan::Umt5> text);

  Config config_;
  std::shared_ptr<nn::Linear> video_projection_, text_projection_;
  std::shared_ptr<wan::Umt5> text_;
  at::Tensor logit_scale_;
};

struct DigitsClip::Loaded {
  std::shared_ptr<DigitsClip> network;
  wan::Tokenizer tokenizer;
  // Unit vectors [captions, embed_dim].
  absl::StatusOr<at::Tensor> EmbedCaptions(const std::vector<std::string>& captions) const;
};

// Symmetric cross-entropy between the clips of a batch and every caption of one wording, drawn anew
// each time: against the captions of the batch alone (Radford et al. 2021) a small batch rarely
// asks to tell digits apart. A caption is right for every clip that it is true of.
class ClipObjective : public train::Objective {
 public:
  // What is pointed to must outlive it.
  ClipObjective(DigitsClip& network, const DigitScans& scans, const ClipGeometry& geometry,
                const CaptionTable& captions, int64_t batch, uint64_t seed, bool muon = false,
                double warp = 0);
  std::vector<train::TrainedTensor> Parameters() override;
  // Parts of a batch are compared within themselves.
  Terms Loss(int64_t step, int part, int parts) override;

 private:
  DigitsClip& network_;
  const DigitScans& scans_;
  ClipGeometry geometry_;
  const CaptionTable& captions_;
  int64_t batch_;
  uint64_t seed_;
  bool muon_;
  double warp_;
};

// Share of clips whose digit, direction and colour are those of the best matching of the 240
// captions (10 digits, 4 directions, 6 colours, one wording) in a language. video: [specs, 3, F, H,
// W].
struct ZeroShotAccuracy {
  int64_t clips = 0;
  double digit = 0, direction = 0, colour = 0, all = 0;
};
absl::StatusOr<ZeroShotAccuracy> ReadByCaptions(const DigitsClip::Loaded& clip,
                                                const at::Tensor& video,
                                                const std::vector<ClipSpec>& specs,
                                                Language language);

// The network in a folder of DigitsClip::Save(), for training other networks by it.
absl::StatusOr<std::unique_ptr<VideoTextEncoder>> OpenDigitsAlignment(Env& env,
                                                                      absl::string_view dir);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIGITS_CLIP_H_
