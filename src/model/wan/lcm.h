// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#ifndef WANLITE_SRC_MODEL_WAN_LCM_H_
#define WANLITE_SRC_MODEL_WAN_LCM_H_

#include <cstdint>
#include <vector>

#include "src/model/wan/flow_scheduler.h"

namespace wanlite::wan {

// The sampler of models with few steps (consistency models, Luo et al. 2023, arXiv 2310.04378;
// DMD2, arXiv 2405.14867): predicts the clip, x_0 = x - sigma v, and puts it under new noise of the
// next level, x = (1 - sigma_next) x_0 + sigma_next noise. The last step leaves x_0. The noise is a
// function of seed and step.
class LcmScheduler : public FlowScheduler {
 public:
  LcmScheduler(std::vector<float> sigmas, at::Tensor timesteps, uint64_t seed);

 protected:
  at::Tensor StepFloat32(const at::Tensor& velocity, const at::Tensor& sample) override;

 private:
  uint64_t seed_;
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_LCM_H_
