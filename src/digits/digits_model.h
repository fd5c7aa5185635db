// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The trained networks as a diffusers folder, and clips made with them.
#ifndef WANLITE_SRC_DIGITS_DIGITS_MODEL_H_
#define WANLITE_SRC_DIGITS_DIGITS_MODEL_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/digits/digits.h"
#include "src/digits/digits.pb.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/tokenizer.h"
#include "src/model/wan/umt5.h"
#include "src/model/wan/vae.h"
#include "wanlite/env.h"

namespace wanlite::digits {

// Not owned.
struct DigitsModel {
  wan::Vae* vae = nullptr;  // with its latent statistics set
  wan::Umt5* text = nullptr;
  wan::Dit* high = nullptr;
  wan::Dit* low = nullptr;
  std::string spiece;  // bytes of the SentencePiece model
};

// Writes model_index.json, scheduler/, tokenizer/, text_encoder/, transformer/ (high noise),
// transformer_2/ (low noise), vae/ under diffusers' and transformers' names; bf16 but for the VAE
// and for what a transformer keeps in fp32. A folder that is at `dir` already becomes `dir`.1, or
// the first such name that is free.
absl::Status ExportDigitsModel(Env& env, const std::string& dir, const DigitsModel& model,
                               const DitTrainingOptions& options, const ClipGeometry& geometry);

// Fills the networks from such a folder; their shapes must be those of the files.
absl::Status LoadDigitsModel(Env& env, const std::string& dir, const DigitsModel& model);

// One clip for each prompt: fp32 [prompts, 3, frames, size, size] in [-1, 1]. The negative prompt
// is the empty one, as in training.
absl::StatusOr<at::Tensor> GenerateDigits(const DigitsModel& model, const wan::Tokenizer& tokenizer,
                                          const DitTrainingOptions& options,
                                          const ClipGeometry& geometry,
                                          const std::vector<std::string>& prompts, uint64_t seed);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIGITS_MODEL_H_
