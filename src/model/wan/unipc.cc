// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/unipc.h"

#include "src/core/libtorch.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace wanlite::wan {
namespace {

float Lambda(float sigma) { return std::log(1 - sigma) - std::log(sigma); }

// Solves sum_k rho_k r_k^(i-1) = b_i, i = 1..n, for the weights rho of n differences.
std::vector<float> SolveWeights(const std::vector<float>& r, const std::vector<float>& b) {
  const int64_t n = static_cast<int64_t>(r.size());
  at::Tensor matrix = at::empty({n, n}, at::kFloat);
  at::Tensor row = at::ones({n}, at::kFloat);
  const at::Tensor ratios = at::tensor(r, at::kFloat);
  for (int64_t i = 0; i < n; ++i) {
    matrix[i].copy_(row);
    row = row * ratios;
  }
  const at::Tensor rho = at::linalg_solve(matrix, at::tensor(b, at::kFloat));
  return {rho.data_ptr<float>(), rho.data_ptr<float>() + n};
}

}  // namespace

UniPcScheduler::UniPcScheduler(const FlowSchedulerConfig& config, std::vector<float> sigmas,
                               at::Tensor timesteps)
    : FlowScheduler(std::move(sigmas), std::move(timesteps)), config_(config) {}

at::Tensor UniPcScheduler::Update(const at::Tensor& x, int64_t from, int64_t order,
                                  const at::Tensor& at_target) const {
  const float sigma_s = sigmas()[from];
  const float sigma_t = sigmas()[from + 1];
  const float alpha_t = 1 - sigma_t;
  const float lambda_s = Lambda(sigma_s);
  const float h = Lambda(sigma_t) - lambda_s;  // infinite for a step to sigma 0
  const at::Tensor& m0 = history_.back();

  std::vector<float> r;
  std::vector<at::Tensor> differences;
  for (int64_t i = 1; i < order; ++i) {
    r.push_back((Lambda(sigmas()[from - i]) - lambda_s) / h);
    differences.push_back((history_[history_.size() - 1 - i] - m0) / r.back());
  }
  const bool correct = at_target.defined();
  if (correct) {
    r.push_back(1.0f);
    differences.push_back(at_target - m0);
  }

  const float growth = std::expm1(-h);
  const float b_of_h = config_.bh2 ? growth : -h;
  // b_i = i! (-h) phi_{i+1}(-h) / B(h), by the recursion of the phi functions (`phi` is -h
  // phi_{i+1}).
  const auto right_hand_side = [&] {
    std::vector<float> b;
    float phi = growth / -h - 1;
    float factorial = 1;
    for (size_t i = 1; i <= r.size(); ++i) {
      b.push_back(phi * factorial / b_of_h);
      factorial *= static_cast<float>(i + 1);
      phi = phi / -h - 1 / factorial;
    }
    return b;
  };
  // With a single difference the exact weight is replaced by its limit for small steps.
  std::vector<float> rho;
  if (r.size() == 1) {
    rho = {0.5f};
  } else if (r.size() > 1) {
    rho = SolveWeights(r, right_hand_side());
  }

  at::Tensor next = x * (sigma_t / sigma_s) - m0 * (alpha_t * growth);
  if (rho.empty()) return next;
  at::Tensor sum = differences[0] * rho[0];
  for (size_t k = 1; k < rho.size(); ++k) sum = sum + differences[k] * rho[k];
  return next - sum * (alpha_t * b_of_h);
}

at::Tensor UniPcScheduler::StepFloat32(const at::Tensor& velocity, const at::Tensor& sample) {
  const int64_t step = step_index();
  const auto& disabled = config_.disable_corrector;
  const at::Tensor data = sample - velocity * sigmas()[step];
  at::Tensor x = sample;
  if (step > 0 && std::find(disabled.begin(), disabled.end(), step - 1) == disabled.end()) {
    x = Update(last_sample_, step - 1, last_order_, data);
  }
  if (static_cast<int64_t>(history_.size()) == config_.solver_order)
    history_.erase(history_.begin());
  history_.push_back(data);

  int64_t order = std::min(config_.solver_order, step + 1);
  if (config_.lower_order_final) order = std::min(order, num_steps() - step);
  last_order_ = order;
  last_sample_ = x;
  return Update(x, step, order, /*at_target=*/{});
}

}  // namespace wanlite::wan
