// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Flow-matching training of the diffusion transformer on latents of captioned clips.
#ifndef WANLITE_SRC_DIGITS_DIT_TRAINING_H_
#define WANLITE_SRC_DIGITS_DIT_TRAINING_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/digits/digits.h"
#include "src/digits/digits.pb.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/umt5.h"
#include "wanlite/train.h"

namespace wanlite::digits {

// InvalidArgument naming the field for what describes no network or no training.
absl::Status CheckDitOptions(const DitTrainingOptions& options);
wan::DitConfig MakeDitConfig(const DitTrainingOptions& options, int64_t latent_channels);
wan::Umt5Config MakeTextConfig(const DitTrainingOptions& options, int64_t vocabulary);

// Captions as token ids, padded to one length: row i belongs to captions[i]; row 0 is the empty
// one.
struct CaptionTable {
  std::vector<std::string> captions;
  at::Tensor ids;   // int64 [captions, text_length]
  at::Tensor mask;  // int64 [captions, text_length], 1 at tokens
  std::map<std::string, int64_t> index;
};

// umT5's output with the rows of padding set to zero, as Wan hands it to the DiT.
// ids, mask: [B, T] -> [B, T, D].
at::Tensor EncodeCaptions(const wan::Umt5& text, const at::Tensor& ids, const at::Tensor& mask);

enum class NoiseRange { kAll, kHigh, kLow };

class DitObjective : public train::Objective {
 public:
  struct Data {
    at::Tensor latents;  // normalised, fp32 [clips, z, f, h, w], where the network is
    std::vector<ClipSpec> specs;
    const CaptionTable* captions = nullptr;
  };
  // With `embeddings` ([captions, T, D], see EncodeCaptions) the text encoder takes no part and is
  // not trained; without, `text` is trained too. What is pointed to must outlive the objective.
  DitObjective(wan::Dit& dit, wan::Umt5* text, at::Tensor embeddings, Data data,
               const DitTrainingOptions& options, int64_t batch, NoiseRange range, uint64_t seed,
               bool muon = false);

  // "dit.…" and, when it is trained, "text.…".
  std::vector<train::TrainedTensor> Parameters() override;
  // Mean of |v(x_t, t, text) - (noise - x_0)|^2 with x_t = (1 - sigma) x_0 + sigma noise, t = 1000
  // sigma.
  Terms Loss(int64_t step, int part, int parts) override;

 private:
  double SampleSigma(double uniform) const;

  wan::Dit& dit_;
  wan::Umt5* text_;
  at::Tensor embeddings_;
  Data data_;
  DitTrainingOptions options_;
  int64_t batch_;
  NoiseRange range_;
  uint64_t seed_;
  bool muon_;
};

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIT_TRAINING_H_
