// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a training takes: memory of each process, bytes between them, operations, days. From shapes
// alone, before anything runs.
#ifndef WANLITE_TRAINING_COST_H_
#define WANLITE_TRAINING_COST_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace wanlite {

// What a backward pass needs of one sample's tokens, in bytes: a part for each token of the video
// and one for each of the text.
struct TokenBytes {
  double video = 0, text = 0;
  double Of(int64_t video_tokens, int64_t text_tokens) const {
    return video * static_cast<double>(video_tokens) + text * static_cast<double>(text_tokens);
  }
};

// A training that a pass will do: one component for so many steps.
struct TrainingNote {
  std::string component;
  int64_t steps = 0;
  int64_t batch = 1;
  int64_t pieces = 1;  // that a batch is computed in, shared among the processes
  // Numbers of values. Of the component, all in fp32 while it is trained; of these, those that are
  // trained; that the optimizer keeps of them, with the moving average.
  int64_t values = 0, trained = 0, optimizer = 0;
  // Whom it learns from, as ModelLibrary::Open() names it; empty: no teacher. Its values, where the
  // pass knows them, else 0.
  std::string teacher;
  int64_t teacher_values = 0;
  bool recompute = false, bf16 = false;
  // That all blocks keep for the backward pass; that the largest one keeps and works with; that is
  // kept between blocks.
  TokenBytes all_blocks, largest_block, between_blocks;
};

// Where and on what it runs.
struct TrainingPlace {
  int processes = 1;
  int64_t video_tokens = 0, text_tokens = 0;  // of one sample
  double forward_ops = 0;                     // of the component on one sample, without guidance
  double teacher_ops = 0;                     // of the teacher
  int64_t teacher_values = 0;                 // where the note does not know them
  double tflops = 0;                          // sustained by each process; 0: days are not told
};

struct TrainingCost {
  // Bytes of one process, of the one that has most. The program itself is not among them: LibTorch
  // takes 0.3 GiB on the CPU.
  int64_t weights = 0, gradients = 0, optimizer = 0, teacher = 0, activations = 0;
  int64_t memory() const { return weights + gradients + optimizer + teacher + activations; }
  // Sent by one process in a step, on average: TrainReport::bytes_sent.
  int64_t sent_per_step = 0;
  double step_ops = 0;  // of all processes
  double seconds = 0;   // of all steps, without the exchange; 0 where tflops is
};

// InvalidArgument when the processes cannot share the pieces of a batch, as Train() would find.
absl::Status CheckProcesses(const TrainingNote& note, int processes);
// The backward pass counts twice the forward pass, `recompute` one more; the teacher is asked once.
TrainingCost CostOf(const TrainingNote& note, const TrainingPlace& place);

}  // namespace wanlite

#endif  // WANLITE_TRAINING_COST_H_
