// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/decaying_branch.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/quant/randomized_svd.h"
#include "wanlite/status.h"

namespace wanlite {

absl::StatusOr<std::vector<DecayPhase>> DecayPhases(int64_t rank, int64_t phases, int64_t steps) {
  std::vector<DecayPhase> all;
  for (int64_t left = rank; left > 0; left /= 2) all.push_back({left, left / 2});
  const int64_t halvings = static_cast<int64_t>(all.size());
  if (phases == 0) phases = halvings;
  if (phases < 1 || phases > halvings) {
    return absl::InvalidArgumentError(
        absl::StrCat(phases, " phases, but rank ", rank, " halves to nothing in ", halvings));
  }
  if (steps < phases) {
    return absl::InvalidArgumentError(
        absl::StrCat(phases, " phases in ", steps, " steps of training"));
  }
  all.resize(static_cast<size_t>(phases));
  all.back().kept = 0;
  for (int64_t i = 0; i < phases; ++i) {
    all[i].first_step = steps * i / phases;
    all[i].steps = steps * (i + 1) / phases - all[i].first_step;
  }
  return all;
}

train::LoopOptions LoopOfPhase(const train::LoopOptions& whole, const DecayPhase& phase) {
  train::LoopOptions part = whole;
  part.steps = phase.steps;
  const double end = train::LearningRate(whole, phase.first_step + phase.steps - 1);
  if (phase.first_step > 0) {
    part.learning_rate = train::LearningRate(whole, phase.first_step);
    part.warmup_steps = 0;
  }
  part.final_rate_ratio = std::min(1.0, end / part.learning_rate);
  return part;
}

float GateAt(const DecayPhase& phase, int64_t step) {
  const double done = static_cast<double>(step + 1) / static_cast<double>(phase.steps);
  return done >= 1 ? 0.0f : static_cast<float>(0.5 * (1 + std::cos(std::numbers::pi * done)));
}

HelpedWeight::HelpedWeight(std::unique_ptr<LinearWeight> base, at::Tensor a, at::Tensor b,
                           int64_t kept, std::shared_ptr<const FadingGate> gate)
    : base_(std::move(base)),
      a_(std::move(a)),
      b_(std::move(b)),
      kept_(kept),
      gate_(std::move(gate)) {}

std::unique_ptr<HelpedWeight> HelpedWeight::Begin(std::unique_ptr<LinearWeight> base,
                                                  const at::Tensor& matrix, int64_t rank,
                                                  int64_t kept,
                                                  std::shared_ptr<const FadingGate> gate) {
  const at::NoGradGuard no_grad;
  const LowRankFactors svd = RandomizedSvd(matrix, rank);
  const at::Tensor root = svd.singular_values.sqrt();
  return std::unique_ptr<HelpedWeight>(
      new HelpedWeight(std::move(base), (svd.right * root.unsqueeze(1)).contiguous(),
                       (svd.left * root).contiguous(), kept, std::move(gate)));
}

absl::StatusOr<std::unique_ptr<HelpedWeight>> HelpedWeight::Cut(int64_t rank, int64_t kept) const {
  const at::NoGradGuard no_grad;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
  // B A of what is left, without making the matrix.
  const auto [qb, rb] = at::linalg_qr(b_.detach().slice(1, 0, rank));
  const auto [qa, ra] = at::linalg_qr(a_.detach().slice(0, 0, rank).t());
  const auto [u, s, v] = at::linalg_svd(rb.matmul(ra.t()));
  const at::Tensor root = s.sqrt();
  return std::unique_ptr<HelpedWeight>(
      new HelpedWeight(std::move(base), (v * root.unsqueeze(1)).matmul(qa.t()).contiguous(),
                       (qb.matmul(u) * root).contiguous(), kept, gate_));
}

at::Tensor HelpedWeight::Gates() const {
  const at::NoGradGuard no_grad;
  const at::Tensor gates = at::full({a_.size(0)}, gate_->load(), at::kFloat);
  gates.slice(0, 0, kept_).fill_(1);
  return gates;
}

at::Tensor HelpedWeight::Apply(const Activation& x, const std::optional<at::Tensor>& bias) const {
  const at::Tensor y = base_->Apply(x, bias);
  const at::Tensor inner = at::linear(x.dense().to(a_.scalar_type()), a_) * Gates();
  return y + at::linear(inner, b_).to(y.scalar_type());
}

std::vector<WeightTensor> HelpedWeight::State() const {
  std::vector<WeightTensor> states = base_->State();
  states.push_back({"helper_a", a_});
  states.push_back({"helper_b", b_});
  return states;
}

at::Tensor HelpedWeight::Dequantize() const {
  const at::NoGradGuard no_grad;
  return base_->Dequantize() + (b_ * Gates()).matmul(a_);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> HelpedWeight::Select(int64_t,
                                                                   const at::Tensor&) const {
  return absl::UnimplementedError("a weight with a helper is not cut while it trains");
}

train::Objective::Terms DecayingObjective::Loss(int64_t step, int part, int parts) {
  gate_.store(GateAt(phase_, step));
  return inner_.Loss(step, part, parts);
}

}  // namespace wanlite
