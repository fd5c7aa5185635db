// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Samples that go through a network together.
#ifndef WANLITE_SRC_TRAIN_SAMPLE_BATCH_H_
#define WANLITE_SRC_TRAIN_SAMPLE_BATCH_H_

#include <string>
#include <vector>

#include "wanlite/block_program.h"

namespace wanlite::train {

// Names, dtypes and shapes of what is defined: samples of one text can be stacked.
std::string ShapesText(const Values& values);
// One after the other along their first axis. samples: at least one, all of one ShapesText().
Values Stacked(const std::vector<Values>& samples);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_SAMPLE_BATCH_H_
