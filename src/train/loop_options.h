// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The options of the loop as files and recipes write them.
#ifndef WANLITE_SRC_TRAIN_LOOP_OPTIONS_H_
#define WANLITE_SRC_TRAIN_LOOP_OPTIONS_H_

#include "src/proto/train.pb.h"
#include "wanlite/train.h"

namespace wanlite::train {

// What the message leaves at 0 takes its default. Check with CheckLoopOptions().
LoopOptions LoopOf(const TrainLoop& message);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_LOOP_OPTIONS_H_
