// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Training of the video VAE on moving digits, and what follows from it: latents of clips.
#ifndef WANLITE_SRC_DIGITS_VAE_TRAINING_H_
#define WANLITE_SRC_DIGITS_VAE_TRAINING_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "src/digits/digits.h"
#include "src/digits/digits.pb.h"
#include "src/model/wan/vae.h"
#include "wanlite/train.h"

namespace wanlite::digits {

// InvalidArgument naming the field when the clips cannot be made.
absl::StatusOr<ClipGeometry> CheckedGeometry(const DigitsDataOptions& options);

// InvalidArgument naming the field for what describes no network or no training on such clips.
absl::Status CheckVaeOptions(const VaeTrainingOptions& options, const ClipGeometry& geometry);

// A network with the shape the options ask for; not initialised.
absl::StatusOr<std::shared_ptr<wan::Vae>> MakeVae(const VaeTrainingOptions& options);

// Random start. The latents' noise starts small: at the variance of 1 that plain initialisation
// gives, it drowns the means, and the decoder learns for hundreds of steps to ignore them.
void InitVae(wan::Vae& vae, uint64_t seed);

class VaeObjective : public train::Objective {
 public:
  // `vae` and `scans` must outlive it.
  VaeObjective(wan::Vae& vae, const DigitScans& scans, const ClipGeometry& geometry,
               const VaeTrainingOptions& options, uint64_t seed);
  std::vector<train::TrainedTensor> Parameters() override;
  Terms Loss(int64_t step, int part, int parts) override;

 private:
  at::Tensor Batch(int64_t step, int part, int parts) const;

  wan::Vae& vae_;
  const DigitScans& scans_;
  ClipGeometry geometry_;
  VaeTrainingOptions options_;
  uint64_t seed_;
};

// Mean over channels and pixels of the reconstruction's error on whole clips, as PSNR in dB of
// values in [0, 1].
double ReconstructionPsnr(const wan::Vae& vae, const DigitScans& scans,
                          const ClipGeometry& geometry, Split split, int64_t clips, uint64_t seed);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_VAE_TRAINING_H_
