// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_TRAIN_NOISE_LEVELS_H_
#define WANLITE_SRC_TRAIN_NOISE_LEVELS_H_

namespace wanlite::train {

// Noise levels are drawn evenly and then shifted, as those of a sampler are:
// sigma' = shift sigma / (1 + (shift - 1) sigma), and its inverse.
inline double ShiftSigma(double sigma, double shift) {
  return shift * sigma / (1 + (shift - 1) * sigma);
}
inline double UnshiftSigma(double sigma, double shift) {
  return sigma / (shift - (shift - 1) * sigma);
}

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_NOISE_LEVELS_H_
