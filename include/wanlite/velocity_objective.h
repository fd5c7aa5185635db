// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Flow matching and distillation of any network that declares a BlockProgram: values in, output
// out.
#ifndef WANLITE_VELOCITY_OBJECTIVE_H_
#define WANLITE_VELOCITY_OBJECTIVE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "wanlite/block_program.h"
#include "wanlite/dataset.h"
#include "wanlite/model_view.h"
#include "wanlite/train.h"

namespace wanlite::train {

struct ProgramRun {
  // Keep between steps what flows between them, and compute the inside of each step again in the
  // backward pass: memory for one block's activations instead of all blocks', for one more forward
  // pass. The same gradients, bit for bit.
  bool recompute = false;
  // Told the values after each step.
  std::function<void(size_t step, const Values& values)> observe;
};
// Runs the component's program, recording gradients of its tensors that take them; the output.
// Throws c10::Error as BlockProgram::Run, and for a component without a program.
at::Tensor RunProgram(const Component& component, Values values, const ProgramRun& run);

// Compares a value of the student after one of its steps with one of the teacher's.
struct FeatureMatch {
  std::string value = "x";
  size_t student_step = 0, teacher_step = 0;
  double weight = 1;
};

// Weights of the terms; those of 0 are not computed. All are means over the batch.
struct LossMix {
  double data = 1;     // "data": |output - target|^2, with kTargetValue of the sample
  double teacher = 0;  // "teacher": |output - teacher's output|^2
  // "kl": T^2 KL(softmax(teacher / T) || softmax(output / T)) over dim 1, the channels (Hinton et
  // al. 2015), with T = temperature.
  double kl = 0;
  double temperature = 1;
  // "features": |a - b|^2 / |b|^2, summed over the pairs.
  std::vector<FeatureMatch> features;
};

struct VelocityOptions {
  LossMix mix;
  int64_t batch = 1;
  uint64_t seed = 0;
  bool recompute = false;
  // Features count from this step on (0-based): a student that was cut lands on the other terms
  // first.
  int64_t features_after = 0;
};

class SampleOrder;

// Takes each sample once per pass over the data, in an order drawn anew for each.
class VelocityObjective : public Objective {
 public:
  // `parameters`: of the student, as TrainableTensors() lists them. `teacher` may be null where no
  // term needs it; its tensors take no gradients. What is pointed to must outlive the objective.
  // InvalidArgument for a mix without terms (before features count, too) or with a negative weight,
  // a term without its teacher, a step that a program does not have, a component without a program,
  // an empty data set.
  static absl::StatusOr<std::unique_ptr<VelocityObjective>> Create(
      const Component& student, std::vector<TrainedTensor> parameters, const Component* teacher,
      const Dataset& data, VelocityOptions options);

  ~VelocityObjective() override;

  std::vector<TrainedTensor> Parameters() override { return parameters_; }
  Terms Loss(int64_t step, int part, int parts) override;
  // Data, seed and weights of the terms; the caller adds what the teacher is.
  Identity identity() const;

 private:
  VelocityObjective(const Component& student, std::vector<TrainedTensor> parameters,
                    const Component* teacher, const Dataset& data, VelocityOptions options);
  Terms LossOf(const Values& batch, bool with_features) const;

  const Component& student_;
  std::vector<TrainedTensor> parameters_;
  const Component* teacher_;
  const Dataset& data_;
  VelocityOptions options_;
  std::unique_ptr<SampleOrder> order_;
};

}  // namespace wanlite::train

#endif  // WANLITE_VELOCITY_OBJECTIVE_H_
