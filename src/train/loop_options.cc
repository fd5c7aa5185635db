// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/loop_options.h"

namespace wanlite::train {

LoopOptions LoopOf(const TrainLoop& message) {
  LoopOptions options;
  options.steps = message.steps();
  options.batch = message.batch();
  options.learning_rate = message.learning_rate();
  options.warmup_steps = message.warmup_steps();
  options.final_rate_ratio = message.final_rate_ratio();
  options.weight_decay = message.weight_decay();
  if (message.beta1() != 0) options.beta1 = message.beta1();
  if (message.beta2() != 0) options.beta2 = message.beta2();
  options.max_gradient_norm = message.max_gradient_norm();
  options.ema_decay = message.ema_decay();
  options.state_every = message.state_every();
  if (message.accumulate() != 0) options.accumulate = message.accumulate();
  if (message.workers() != 0) options.workers = message.workers();
  options.bf16 = message.bf16();
  options.max_skipped_steps = message.max_skipped_steps();
  options.loss_spike = message.loss_spike();
  if (message.rate_after_skip() != 0) options.rate_after_skip = message.rate_after_skip();
  return options;
}

}  // namespace wanlite::train
