// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#ifndef WANLITE_SRC_MODEL_WAN_EULER_H_
#define WANLITE_SRC_MODEL_WAN_EULER_H_

#include "src/model/wan/flow_scheduler.h"

namespace wanlite::wan {

// x += (sigma_next - sigma) v.
class EulerScheduler : public FlowScheduler {
 public:
  EulerScheduler(std::vector<float> sigmas, at::Tensor timesteps);

 protected:
  at::Tensor StepFloat32(const at::Tensor& velocity, const at::Tensor& sample) override;
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_EULER_H_
