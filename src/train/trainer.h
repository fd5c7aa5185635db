// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The training loop: AdamW, warm-up and cosine, gradient clipping, a moving average of the weights,
// durable states. What is trained, and on what, is an Objective.
//
// Randomness is a function of (seed, step), never of what ran before: a run that was killed and
// continued takes exactly the steps of an unbroken one.
#ifndef WANLITE_TRAIN_TRAINER_H_
#define WANLITE_TRAIN_TRAINER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/proto/train.pb.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"
#include "wanlite/tensor_source.h"

namespace wanlite::train {

class Objective {
 public:
  virtual ~Objective() = default;
  // What is trained: live handles, floating leaves, unique names, the same list at every call.
  virtual std::vector<NamedTensor> Parameters() = 0;
  // Scalar loss, with its graph, of part `part` of `parts` of the batch that belongs to `step`; the
  // loss of the batch is the mean over its parts. Depends on the parameters and the arguments
  // alone. Called from several threads at once when parts > 1. May throw c10::Error.
  virtual at::Tensor Loss(int64_t step, int part, int parts) = 0;
};

struct TrainRun {
  Env* env = nullptr;
  // Name for messages and progress: "vae".
  std::string what;
  // Safetensors file with weights, optimizer, average and step. Continued from when it exists.
  std::string state_path;
  // Of the objective: seed, data, and all else that shapes the loss. A state is continued only by a
  // run of the same identity. The loop's own options are added by Train().
  TrainingIdentity identity;
  ProgressSink* progress = nullptr;           // SilentProgress() when null
  const CancellationToken* cancel = nullptr;  // never when null
};

struct TrainReport {
  int64_t first_step = 0;  // where this call began: 0, or the step of the state it found
  int64_t steps = 0;       // steps taken in all
  double seconds = 0;      // of this call
  double loss = 0;         // mean over the last 100 steps of this call; 0 when it took none
};

// Refuses what cannot be meant: InvalidArgument naming the field, as in "vae.loop.learning_rate".
absl::Status CheckLoopOptions(const LoopOptions& options, absl::string_view name);

// Trains until options.steps() and leaves the averaged weights in the parameters. Errors:
// FailedPrecondition when the state belongs to another network, other options or another objective,
// naming what differs; Cancelled after a state was written; Aborted when the loss or a gradient is
// not finite (the last state stays as it is).
absl::StatusOr<TrainReport> Train(const LoopOptions& options, Objective& objective,
                                  const TrainRun& run);

// Learning rate of a step (0-based).
double LearningRate(const LoopOptions& options, int64_t step);
// Decay of the moving average at a step: small in the beginning, so that the random start is
// forgotten soon; min(decay, (1 + step) / (10 + step)).
double EmaDecay(const LoopOptions& options, int64_t step);

}  // namespace wanlite::train

#endif  // WANLITE_TRAIN_TRAINER_H_
