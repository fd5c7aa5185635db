// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Training as a service: a loop that knows no model and no data. AdamW and Muon, warm-up and
// cosine, gradient clipping, accumulation, a moving average of the weights, durable states, several
// processes. What is trained, and on what, is an Objective.
//
// Randomness is a function of (seed, step), never of what ran before: a run that was killed and
// continued takes exactly the steps of an unbroken one.
#ifndef WANLITE_TRAIN_H_
#define WANLITE_TRAIN_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"
#include "wanlite/process_group.h"
#include "wanlite/progress.h"

namespace wanlite::train {

// Names and values of all that shapes the steps of a training.
using Identity = std::map<std::string, std::string>;

enum class UpdateRule {
  kAdamW,
  // The momentum of the gradient is made orthogonal by Newton-Schulz iterations (Jordan et al.
  // 2024) and scaled by 0.2 sqrt(max(rows, columns)), so that rate and decay mean the same as for
  // AdamW (Liu et al. 2025). For matrices inside a network, not for embeddings and output heads,
  // whose rows are no directions.
  kMuon,
};

struct TrainedTensor {
  std::string name;       // unique
  at::Tensor tensor;      // the live one: a floating leaf
  double rate_scale = 1;  // of the learning rate
  bool decay = true;      // takes part in weight decay: matrices do, biases and norms do not
  UpdateRule rule = UpdateRule::kAdamW;
  // Two networks that are trained in turn: the tensor is updated in the steps s for which
  // turns[s % turns.size()] is set, and left as it is, moments and average with it, in the others,
  // in which the loss need not depend on it. Empty: updated in every step.
  std::vector<bool> turns = {};
  // A moving average of another trained tensor in place of updates by gradients: before each step
  // it moves towards `follows` by 1 - follow_decay. For targets of consistency training.
  at::Tensor follows = {};
  double follow_decay = 0;
};
// Whether the tensor is updated by its gradient in this step, and how often it was when it has
// been.
bool TakesPart(const TrainedTensor& trained, int64_t step);
int64_t UpdatesUntil(const TrainedTensor& trained, int64_t step);

class Objective {
 public:
  // A loss with its parts, for people: {"reconstruction", 0.02}. The same names at every call.
  struct Terms {
    at::Tensor total;  // one element, with its graph
    std::vector<std::pair<std::string, double>> named;
  };
  virtual ~Objective() = default;
  // The same list at every call.
  virtual std::vector<TrainedTensor> Parameters() = 0;
  // Of part `part` of `parts` of the batch that belongs to `step`; the loss of the batch is the
  // mean over its parts. Depends on the parameters and the arguments alone. Called from several
  // threads at once when there are workers. May throw c10::Error.
  virtual Terms Loss(int64_t step, int part, int parts) = 0;
};

struct LoopOptions {
  int64_t steps = 0;  // updates in all; may change between a run and its continuation
  int64_t batch = 1;  // samples per update
  double learning_rate = 0;
  // The rate rises linearly over so many steps, then falls as a cosine to final_rate_ratio of it.
  int64_t warmup_steps = 0;
  double final_rate_ratio = 0;
  double weight_decay = 0;
  double beta1 = 0.9, beta2 = 0.99;
  double max_gradient_norm = 0;  // gradients are scaled down to it; 0: no limit
  double ema_decay = 0;          // the weights kept are a moving average; 0: the last ones
  int64_t state_every = 0;       // a durable state each so many steps; 0: at the end alone
  // The batch is computed in so many pieces, one after the other: memory for one piece, the same
  // result as at once up to rounding. Several processes share the pieces, so it must be a multiple
  // of their number.
  int accumulate = 1;
  // A piece is divided among so many threads, each with its own forward and backward pass. With
  // several, each operation of LibTorch uses one thread: on small networks this is faster than
  // threads inside the operations.
  int workers = 1;
  // Products in bf16 (autocast); weights, their gradients and the optimizer stay in fp32.
  bool bf16 = false;
  // Steps whose loss or gradient is not finite: so many in all are left out, one more is an error.
  int64_t max_skipped_steps = 0;
  // A loss above so many times the median of the last 64 is treated like one that is not finite,
  // when there were 16 before it. 0: none is.
  double loss_spike = 0;
  // The rate is multiplied by it after each step that is left out.
  double rate_after_skip = 1;
};

// What one step did, for logs.
struct StepReport {
  int64_t step = 0;  // from 0
  double loss = 0;
  std::vector<std::pair<std::string, double>> terms;
  double rate = 0, gradient_norm = 0;  // the norm before it was limited
  bool skipped = false;                // left out: not finite, or a spike
};

struct TrainRun {
  Env* env = nullptr;
  // Name for messages and progress: "vae".
  std::string what;
  // Folder of the durable state, made when needed: weights, optimizer, average, step. Continued
  // from when a state is there, by any number of processes. Those of a group share it.
  std::string state_dir;
  // Files of the state hold so many bytes at most, but a tensor is never divided.
  int64_t max_shard_bytes = int64_t{1} << 30;
  // Of the objective: seed, data, teacher, and all else that shapes the loss. A state is continued
  // only by a run of the same identity. The loop's own options and the list of tensors are added by
  // Train().
  Identity identity;
  // Alone when null. Each process keeps the optimizer's state of its share of the tensors, and
  // writes that share of the states.
  ProcessGroup* group = nullptr;
  ProgressSink* progress = nullptr;                // SilentProgress() when null
  const CancellationToken* cancel = nullptr;       // never when null
  std::function<void(const StepReport&)> observe;  // after each step
};

struct TrainReport {
  int64_t first_step = 0;  // where this call began: 0, or the step of the state it found
  int64_t steps = 0;       // steps taken in all
  int64_t skipped = 0;     // of these, left out
  double seconds = 0;      // of this call
  // Gradients and weights that this process sent to others, in this call; what goes to several
  // counts once for each.
  int64_t bytes_sent = 0;
  // Means over the last 100 steps of this call; 0 and empty when it took none.
  double loss = 0;
  std::vector<std::pair<std::string, double>> terms;
};

// Refuses what cannot be meant: InvalidArgument naming the field, as in "vae.loop.learning_rate".
absl::Status CheckLoopOptions(const LoopOptions& options, absl::string_view name);

// Trains until options.steps and leaves the averaged weights in the parameters. Errors:
// FailedPrecondition when the state belongs to another network, other options or another objective,
// naming what differs; DataLoss for a damaged state; Cancelled after a state was written; Aborted
// when the loss or a gradient is not finite (the last state stays as it is), and when another
// process of the group failed.
absl::StatusOr<TrainReport> Train(const LoopOptions& options, Objective& objective,
                                  const TrainRun& run);

// Learning rate of a step (0-based).
double LearningRate(const LoopOptions& options, int64_t step);
// Decay of the moving average at a step: small in the beginning, so that the random start is
// forgotten soon; min(decay, (1 + step) / (10 + step)).
double EmaDecay(const LoopOptions& options, int64_t step);

// Which tensors of a model are trained.
struct TensorSelector {
  std::vector<std::string> components = {};  // by name; empty: all
  std::string block = {};                    // only tensors of this block, which may be leased
  std::vector<std::string> include = {};     // globs over full paths; empty: all that train
  std::vector<std::string> exclude = {};
  bool muon = false;  // Muon for the matrices of linears that the topology does not call sensitive
  double scale_rate = 1;  // of the learning rate, for scales of quantized weights that train
};
// Of a model in memory (or a block of it, leased), by their full paths: the tensors of weights that
// say they train, and all others of floating point. Biases, norms, other vectors and scales do not
// decay. InvalidArgument for an include pattern that fits nothing and for an empty selection;
// FailedPrecondition for a hollow model.
absl::StatusOr<std::vector<TrainedTensor>> TrainableTensors(const ModelView& model,
                                                            const TensorSelector& selector);

// While it lives, the tensors of a component, or of one block, that are stored in bf16 or fp16 are
// fp32, to be trained: steps smaller than bf16 tells apart would be lost.
class MasterWeights {
 public:
  // The model must be in memory. InvalidArgument for an unknown component.
  static absl::StatusOr<MasterWeights> Of(ModelView& model, absl::string_view component);
  // Of a leased block; must end before the lease does. InvalidArgument for an unknown block.
  static absl::StatusOr<MasterWeights> OfBlock(ModelView& model, absl::string_view block);
  // Back to the dtypes that were. InvalidArgument naming a tensor with values that its dtype does
  // not hold; all are fp32 then.
  absl::Status Restore();
  ~MasterWeights();  // restores without asking
  MasterWeights(MasterWeights&&) noexcept = default;
  MasterWeights& operator=(MasterWeights&&) = delete;

 private:
  MasterWeights() = default;
  static absl::StatusOr<MasterWeights> Of(const std::vector<NamedTensor>& tensors);
  struct Stored {
    std::string name;
    at::Tensor tensor;
    at::ScalarType dtype;
  };
  std::vector<Stored> stored_;
};

}  // namespace wanlite::train

#endif  // WANLITE_TRAIN_H_
