// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What denoisers are taught on whose guidance or steps are distilled: recorded prompts, inputs and
// clips, and the teacher's velocity with guidance. Networks are known by their block programs with
// the inputs "hidden_states" (latents [batch, ...]), "timestep" (fp32 [batch], 1000 sigma) and
// "encoder_hidden_states" ([batch, tokens, dim]).
#ifndef WANLITE_SRC_DISTILL_GUIDED_SAMPLES_H_
#define WANLITE_SRC_DISTILL_GUIDED_SAMPLES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/dataset.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/sample_set.h"
#include "wanlite/train.h"

namespace wanlite::distill {

inline constexpr char kLatents[] = "hidden_states";
inline constexpr char kTimestep[] = "timestep";
inline constexpr char kText[] = "encoder_hidden_states";
inline constexpr double kTimesteps = 1000;

// Names of the denoisers, in the order in which they take over from each other. InvalidArgument for
// a model without one, with more than two, or with one whose program takes other inputs.
absl::StatusOr<std::vector<std::string>> GuidedDenoisers(const ModelView& model);

// "input", "before" or the path, as ModelLibrary::Open() takes it.
std::string GuidedTeacherRef(GuidedTeacher::Which which, const std::string& path);

// The prompts' branch of a component's samples. Those of the negative prompt are not among them.
class PromptSamples {
 public:
  // FailedPrecondition when there are none.
  static absl::StatusOr<PromptSamples> Open(const SampleSet& samples, const std::string& component);

  int64_t size() const { return static_cast<int64_t>(numbers_.size()); }
  // Number of the prompt, -1 when the samples do not tell.
  int64_t prompt(int64_t i) const;
  // The i-th sample's values, floating ones in fp32.
  absl::StatusOr<Values> Read(int64_t i) const;
  // Numbers of samples that are trained on, and of those whose prompts are kept out (the last
  // eighth of the prompts; none of fewer than eight).
  std::vector<int64_t> Trained() const;
  std::vector<int64_t> Held() const;
  // One sample of each text, numbers as of Read().
  std::vector<int64_t> Texts() const;
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  PromptSamples(SampleSet samples, std::string component)
      : samples_(std::move(samples)), component_(std::move(component)) {}
  int64_t FirstHeld() const;  // prompt

  SampleSet samples_;
  std::string component_;
  std::vector<int64_t> numbers_;
  std::string fingerprint_;
};

// The text of the negative branch, fp32 [1, tokens, dim]: of the component's samples, or of another
// one's. FailedPrecondition when no sample is of that branch.
absl::StatusOr<at::Tensor> NegativeText(const SampleSet& samples, const std::string& component);

// The clip under a sample's noise: x_0 = x_t - sigma target. FailedPrecondition for a sample
// without a target: it is none of `record --clips`.
absl::StatusOr<at::Tensor> ClipOf(const Values& sample);

// The network's velocity, fp32. x: [batch, ...]; sigma: fp32 [batch]; text: [batch, tokens, dim].
// Throws c10::Error.
at::Tensor VelocityOf(const Component& network, const at::Tensor& x, const at::Tensor& sigma,
                      const at::Tensor& text, bool recompute = false);
// With guidance and without gradients: negative + guidance (prompt - negative), both in one run of
// the network; with guidance 1 of the prompts alone. negative: [1, tokens, dim].
at::Tensor GuidedVelocity(const Component& network, double guidance, const at::Tensor& x,
                          const at::Tensor& sigma, const at::Tensor& text,
                          const at::Tensor& negative);
// sigma [batch] in the shape that x is multiplied by.
at::Tensor AsFactor(const at::Tensor& sigma, const at::Tensor& x);

// What training a denoiser will take, for plans. OptionError of the field "train" when the patterns
// choose nothing of it: it would be `sampled` ("in few steps") as it is.
absl::StatusOr<TrainingNote> NoteDenoiser(const ModelView& model, const std::string& component,
                                          const TrainLoop& loop,
                                          const std::vector<std::string>& patterns, bool recompute,
                                          absl::string_view sampled);

// A denoiser's training.
struct DenoiserTraining {
  std::string component;
  std::string state;                // name of the folder of its state in the scratch
  const TrainLoop* loop = nullptr;  // for its muon
  train::LoopOptions options;
  std::vector<std::string> patterns;  // what is trained; empty: all
  train::Identity identity;           // beside the objective's own
  bool keep_zeros = true;             // what pruning has put to zero stays so
};
struct DenoiserObjective {
  std::unique_ptr<train::Objective> objective;
  train::Identity identity;
};
// Makes the objective from the component, in fp32, and its trained tensors.
using MakeObjective = std::function<absl::StatusOr<DenoiserObjective>(
    const Component& student, std::vector<train::TrainedTensor> tensors)>;
// Trains it and counts its steps in context.metrics. A component of which the patterns choose
// nothing is left alone.
absl::Status TrainDenoiser(ModelView& model, const DenoiserTraining& training,
                           const MakeObjective& make, PassContext& context);

// The objective of data with targets, where the teacher has done its work: the mean square of what
// is wrong. Measures the relative error before and after (of `judged`) into context.metrics.
absl::Status TrainOnTargets(ModelView& model, const DenoiserTraining& training, uint64_t seed,
                            bool recompute, const Dataset& data, const Dataset& judged,
                            PassContext& context);

// Does `count` pieces of work that leave files behind, shared among the processes of the group, and
// returns when all are done.
absl::Status SharedWork(const PassContext& context, const std::string& what, int64_t count,
                        const std::function<absl::Status(int64_t)>& work);

// Of training one of these components after the other, teacher and all: for PassNotes.
int64_t PeakOfTraining(const ModelView& model, const std::vector<std::string>& components,
                       const train::LoopOptions& loop, int other_networks);

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_GUIDED_SAMPLES_H_
