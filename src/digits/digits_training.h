// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Makes Wan-Digits from nothing but the digits file: the stages of its training in order, each
// resumable, and the model folder at the end (docs/wan_digits.md).
#ifndef WANLITE_SRC_DIGITS_DIGITS_TRAINING_H_
#define WANLITE_SRC_DIGITS_DIGITS_TRAINING_H_

#include <c10/core/Device.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/digits/digits.pb.h"
#include "src/digits/train_options.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"

namespace wanlite::digits {

// In the order they run. Training that is complete is not repeated; what is quick (latents, export,
// check) is made anew, with the same result.
//   vae          the video VAE                                   -> vae.safetensors
//   latents      tokenizer, latents of the training clips        -> tokenizer/, latents.safetensors
//   dit          the DiT on all timesteps with the text encoder  -> dit.safetensors,
//   text.safetensors high, low    one copy each on its side of the boundary       ->
//   high.safetensors, low.safetensors classifier   reads digit, direction, colour from clips ->
//   classifier/ export       the diffusers folder                            -> model/ check
//   generates from held-out prompts and reads them  -> check.json
const std::vector<std::string>& DigitsStages();

struct DigitsTrainingRun {
  Env* env = nullptr;
  DigitsTrainOptions options;
  std::string scans_path;
  std::string out_dir;
  std::vector<std::string> stages;  // empty: all
  // Where networks are trained and clips encoded; evaluations and the check run on the CPU. Bits
  // are those of an unbroken run on the CPU alone: kernels of GPUs add in any order.
  at::Device device = at::kCPU;
  ProgressSink* progress = nullptr;           // SilentProgress() when null
  const CancellationToken* cancel = nullptr;  // never when null
  // Told a line after each stage: what it took and reached.
  std::function<void(const std::string&)> report;
};

// All options of the stages are checked before the first of them begins.
absl::Status TrainDigits(const DigitsTrainingRun& run);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIGITS_TRAINING_H_
