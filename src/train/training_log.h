// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What each step of a training did, for people: a file of JSON lines that outlives the run.
#ifndef WANLITE_SRC_TRAIN_TRAINING_LOG_H_
#define WANLITE_SRC_TRAIN_TRAINING_LOG_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "wanlite/env.h"
#include "wanlite/train.h"

namespace wanlite::train {

// {"step": 0, "loss": …, "terms": {"data": …}, "rate": …, "gradient_norm": …}, a number that is not
// finite being null; a step that was left out has "skipped": true. Not thread-safe.
class TrainingLog {
 public:
  // The folder of `path` is made when the first line is written.
  TrainingLog(Env& env, std::string path) : env_(env), path_(std::move(path)) {}

  // Steps come in order. The first one says where a run begins, or goes on: of what the file held
  // before it keeps the steps before that one.
  void Add(const StepReport& step);
  // Writes the file anew, durably. Errors are those of Env.
  absl::Status Flush();

  // Adds the step, and writes the file where a state of the loop is due: so the file has every step
  // of the state, whenever the run is killed.
  absl::Status Observe(const StepReport& step, const LoopOptions& options,
                       const CancellationToken* cancel);

 private:
  Env& env_;
  const std::string path_;
  bool begun_ = false, changed_ = false;
  std::string text_;
  absl::Status read_;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_TRAINING_LOG_H_
