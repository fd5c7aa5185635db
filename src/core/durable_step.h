// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_CORE_DURABLE_STEP_H_
#define WANLITE_SRC_CORE_DURABLE_STEP_H_

namespace wanlite {

// While one lives, who ends this process at a signal is asked for patience: what an end now would
// lose, a step of training say, is about to be made durable. Work inside still looks at its
// cancellation token, and ends in seconds.
class DurableStep {
 public:
  DurableStep();
  ~DurableStep();
  DurableStep(const DurableStep&) = delete;
  DurableStep& operator=(const DurableStep&) = delete;
  // Whether any lives, on whatever thread.
  static bool InProgress();
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_DURABLE_STEP_H_
