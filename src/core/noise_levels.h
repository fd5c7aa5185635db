// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Noise levels of flow matching, sigma in [0, 1]: x = (1 - sigma) clip + sigma noise.
#ifndef WANLITE_SRC_CORE_NOISE_LEVELS_H_
#define WANLITE_SRC_CORE_NOISE_LEVELS_H_

#include <cstdint>
#include <vector>

namespace wanlite {

// Noise levels are drawn evenly and then shifted, as those of a sampler are:
// sigma' = shift sigma / (1 + (shift - 1) sigma), and its inverse.
inline double ShiftSigma(double sigma, double shift) {
  return shift * sigma / (1 + (shift - 1) * sigma);
}
inline double UnshiftSigma(double sigma, double shift) {
  return sigma / (shift - (shift - 1) * sigma);
}

// Where few-step samplers stop, before the shift: `steps` levels evenly from 1 down to, but
// without, 0. Of 4 steps 1, 0.75, 0.5, 0.25.
inline std::vector<double> EvenSigmas(int64_t steps) {
  std::vector<double> sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    sigmas.push_back(static_cast<double>(steps - i) / static_cast<double>(steps));
  }
  return sigmas;
}

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_NOISE_LEVELS_H_
