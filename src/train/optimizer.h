// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Updates of weights by their gradients: AdamW and Muon, and a moving average of what they leave.
#ifndef WANLITE_SRC_TRAIN_OPTIMIZER_H_
#define WANLITE_SRC_TRAIN_OPTIMIZER_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "wanlite/tensor_source.h"
#include "wanlite/train.h"

namespace wanlite::train {

class Optimizer {
 public:
  // Takes memory for moments and average of the tensors: Muon has one moment, and without ema_decay
  // there is no average.
  Optimizer(const LoopOptions& options, std::vector<TrainedTensor> tensors);

  // One step with gradients of the tensors' shapes. step: 0-based, of the schedules. rate_factor:
  // of the schedule's rate.
  void Update(int64_t step, const std::vector<at::Tensor>& gradients, double rate_factor = 1);
  // The average becomes the weights, where there is one.
  void TakeAverage();

  // All that a continued run needs, as live handles: "weight.NAME", "first_moment.NAME", ….
  std::vector<NamedTensor> State() const;
  // Names of what State() would hold of a tensor beside its weight, for those that another process
  // keeps.
  static std::vector<std::string> StateNames(const LoopOptions& options,
                                             const TrainedTensor& trained);

 private:
  void UpdateByMuon(int64_t step, double rate, const std::vector<at::Tensor>& gradients);
  void UpdateByAdamW(int64_t step, double rate, const std::vector<at::Tensor>& gradients);

  LoopOptions options_;
  // Run parallel; undefined where there is none.
  std::vector<TrainedTensor> tensors_;
  std::vector<at::Tensor> first_moment_, second_moment_, average_;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_OPTIMIZER_H_
