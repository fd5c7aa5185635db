// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// QVGen's helper (arXiv 2505.11497): a low-rank branch beside a weight that learns to be rounded.
// It begins as what rounding loses, so that training begins near the unrounded layer, and decays:
// in each phase of the training the ranks of the smaller singular values fade out by a cosine and
// are cut. What is left in the end is the weight alone.
#ifndef WANLITE_SRC_QUANT_DECAYING_BRANCH_H_
#define WANLITE_SRC_QUANT_DECAYING_BRANCH_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/linear_weight.h"
#include "wanlite/train.h"

namespace wanlite {

// What the fading ranks are multiplied by; one for all layers.
using FadingGate = std::atomic<float>;

// One part of the training.
struct DecayPhase {
  int64_t rank = 0, kept = 0;  // ranks at its begin, and of these at its end
  int64_t first_step = 0, steps = 0;
};
// InvalidArgument when there are more phases than halvings of the rank, or steps for fewer.
// phases: 0 for all halvings.
absl::StatusOr<std::vector<DecayPhase>> DecayPhases(int64_t rank, int64_t phases, int64_t steps);
// The part of the loop's training that is the phase: its rate goes on where the one of the phase
// before ended.
train::LoopOptions LoopOfPhase(const train::LoopOptions& whole, const DecayPhase& phase);
// At step `step` of the phase, from 0: from below 1 down to 0 in the last.
float GateAt(const DecayPhase& phase, int64_t step);

// y = base(x) + B g A x, g = 1 for the first `kept` ranks and the gate for the others. For training
// alone: no checkpoint holds it. State: that of the base, helper_a: fp32 [rank, in] and helper_b:
// fp32 [out, rank], all of which train.
class HelpedWeight : public LinearWeight {
 public:
  // The branch of the leading `rank` directions of matrix: fp32 [out, in].
  static std::unique_ptr<HelpedWeight> Begin(std::unique_ptr<LinearWeight> base,
                                             const at::Tensor& matrix, int64_t rank, int64_t kept,
                                             std::shared_ptr<const FadingGate> gate);
  // The first `rank` ranks of the branch as it is now, turned so that the strongest are the first.
  absl::StatusOr<std::unique_ptr<HelpedWeight>> Cut(int64_t rank, int64_t kept) const;
  const LinearWeight& base() const { return *base_; }

  absl::string_view format() const override { return "helped"; }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }
  const InputForm* input_form() const override { return base_->input_form(); }
  bool reads_dense_input() const override { return true; }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override;
  LinearArithmetic arithmetic() const override { return base_->arithmetic(); }
  std::vector<WeightTensor> State() const override;
  at::Tensor Dequantize() const override;
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override;

 private:
  HelpedWeight(std::unique_ptr<LinearWeight> base, at::Tensor a, at::Tensor b, int64_t kept,
               std::shared_ptr<const FadingGate> gate);
  at::Tensor Gates() const;  // [rank]

  std::unique_ptr<LinearWeight> base_;
  at::Tensor a_, b_;
  int64_t kept_;
  std::shared_ptr<const FadingGate> gate_;
};

// An objective that sets the gate to what it is at each step of the phase. `inner` and `gate` must
// outlive it.
class DecayingObjective : public train::Objective {
 public:
  DecayingObjective(train::Objective& inner, const DecayPhase& phase, FadingGate& gate)
      : inner_(inner), phase_(phase), gate_(gate) {}
  std::vector<train::TrainedTensor> Parameters() override { return inner_.Parameters(); }
  Terms Loss(int64_t step, int part, int parts) override;

 private:
  train::Objective& inner_;
  const DecayPhase phase_;
  FadingGate& gate_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_DECAYING_BRANCH_H_
