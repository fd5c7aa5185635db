// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/euler.h"

#include "src/core/libtorch.h"

#include <utility>

namespace wanlite::wan {

EulerScheduler::EulerScheduler(std::vector<float> sigmas, at::Tensor timesteps)
    : FlowScheduler(std::move(sigmas), std::move(timesteps)) {}

at::Tensor EulerScheduler::StepFloat32(const at::Tensor& velocity, const at::Tensor& sample) {
  const float dt = sigmas()[step_index() + 1] - sigmas()[step_index()];
  return sample + velocity * dt;
}

}  // namespace wanlite::wan
