// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass distill-steps, and what its methods share.
#ifndef WANLITE_SRC_DISTILL_STEPS_H_
#define WANLITE_SRC_DISTILL_STEPS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/distill/guided_samples.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/train.h"

namespace wanlite {

absl::StatusOr<std::unique_ptr<Pass>> MakeDistillSteps(const DistillStepsOptions& options);

namespace distill {

// One run of the pass.
struct StepsRun {
  const DistillStepsOptions& options;
  const DistillStepsDecision& decision;
  std::string teacher;   // of ModelLibrary::Open()
  std::string identity;  // of the teacher's content
  at::Tensor negative;   // undefined where no teacher has guidance

  // Of the expert's training, its state under `state`.
  DenoiserTraining Training(const std::string& component, const std::string& state) const;
  // The teacher's denoiser of this name.
  const DistillStepsDecision::Teacher& TeacherOf(const std::string& component) const;
  absl::StatusOr<ModelView> LoadTeacherOf(const std::string& component,
                                          const PassContext& context) const;
};

// Levels of the few steps with each divided in `parts`, evenly before the shift: [parts * steps +
// 1], from the highest down to 0.
std::vector<double> DividedSigmas(const DistillStepsDecision& decision, int64_t parts);

// fp32 [values.size()]
at::Tensor AsTensor(const std::vector<double>& values);

// Stacked samples for one piece of a batch.
struct DrawnBatch {
  at::Tensor clip, noise, text;  // [batch, ...]; clip undefined where there are no clips
  std::vector<uint64_t> seeds;   // one of each sample, for what else is drawn
};
// The methods: train one expert each.
absl::Status DistillTrajectory(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                               ModelView& model, PassContext& context);
absl::Status DistillByHalving(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                              ModelView& model, PassContext& context);
absl::Status DistillConsistency(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                                ModelView& model, PassContext& context);
absl::Status DistillMatching(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                             ModelView& model, PassContext& context);

// Which samples make a batch, and the noise that they get: each sample once per pass over the data.
class DrawnSamples {
 public:
  // numbers: of `samples`. clips: whether they are wanted too.
  DrawnSamples(const PromptSamples& samples, std::vector<int64_t> numbers, int64_t batch,
               uint64_t seed, bool clips);
  ~DrawnSamples();
  // Throws c10::Error for samples that cannot be read, or whose shapes differ.
  DrawnBatch Draw(int64_t step, int part, int parts) const;
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
  std::string fingerprint_;
};

// Standard normal noise in the shape, a function of the seed alone, on its device.
at::Tensor SeededNoise(const at::Tensor& like, uint64_t seed);

}  // namespace distill
}  // namespace wanlite

#endif  // WANLITE_SRC_DISTILL_STEPS_H_
