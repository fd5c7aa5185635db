// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What flow matching needs to know of a network's inputs: which one is the noisy latent, and how
// much noise is in it.
#ifndef WANLITE_SRC_TRAIN_FLOW_VALUES_H_
#define WANLITE_SRC_TRAIN_FLOW_VALUES_H_

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "wanlite/block_program.h"

namespace wanlite::train {

// x_t = (1 - sigma) x0 + sigma noise, [B, channels, frames, height, width] of a video.
inline constexpr char kNoisyValue[] = "hidden_states";
// [B], 1000 sigma.
inline constexpr char kTimestepValue[] = "timestep";
inline constexpr double kTimesteps = 1000;

// [B], fp32. Throws c10::Error for inputs without one timestep for each sample.
inline at::Tensor SigmaOf(const Values& inputs) {
  const at::Tensor& timestep = ValueOf(inputs, kTimestepValue);
  TORCH_CHECK_VALUE(timestep.dim() == 1, "timesteps are ", timestep.sizes(),
                    ", wanted one for each sample");
  return timestep.to(at::kFloat) / kTimesteps;
}

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_FLOW_VALUES_H_
