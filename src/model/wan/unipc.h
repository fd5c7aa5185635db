// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#ifndef WANLITE_SRC_MODEL_WAN_UNIPC_H_
#define WANLITE_SRC_MODEL_WAN_UNIPC_H_

#include <vector>

#include "src/model/wan/flow_scheduler.h"

namespace wanlite::wan {

// UniPC (Zhao et al. 2023, arXiv 2302.04867) in its B(h) form with data prediction: with
// alpha = 1 - sigma and lambda = log(alpha / sigma), a step from s to t, h = lambda_t - lambda_s,
// is
//   x_t = sigma_t/sigma_s x_s - alpha_t (e^-h - 1) m_0 - alpha_t B(-h) sum_k rho_k D_k
// where m_0 is the data predicted at s and D_k = (m_k - m_0) / r_k compares it with predictions at
// other sigmas, r_k = (lambda_k - lambda_s) / h. The predictor uses earlier ones; the corrector, at
// the next call, redoes the step with the one at t as well. Scalars are fp32, as in the reference.
class UniPcScheduler : public FlowScheduler {
 public:
  UniPcScheduler(const FlowSchedulerConfig& config, std::vector<float> sigmas,
                 at::Tensor timesteps);

 protected:
  at::Tensor StepFloat32(const at::Tensor& velocity, const at::Tensor& sample) override;

 private:
  // The step from sigma index `from` to the next: x at `from`, predictions there and before in
  // history_. at_target: the prediction at the target (corrector), or undefined (predictor).
  at::Tensor Update(const at::Tensor& x, int64_t from, int64_t order,
                    const at::Tensor& at_target) const;

  FlowSchedulerConfig config_;
  std::vector<at::Tensor> history_;  // predicted data, newest last, at most solver_order
  at::Tensor last_sample_;           // corrected sample that the last prediction started from
  int64_t last_order_ = 0;
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_UNIPC_H_
