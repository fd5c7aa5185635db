// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_MODEL_BLOCK_STEPS_H_
#define WANLITE_SRC_MODEL_BLOCK_STEPS_H_

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "wanlite/block_program.h"

namespace wanlite {

// Steps of a program that follow each other in one block: [begin, end).
struct BlockSteps {
  std::string block;  // full path
  size_t begin = 0, end = 0;
  std::set<std::string> changes;

  void Run(const BlockProgram& program, Values& values) const {
    for (size_t step = begin; step < end; ++step) program.RunStep(step, values);
  }
};

// Of a component that has a program, in the order in which they run.
std::vector<BlockSteps> BlockStepsOf(const Component& component);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_BLOCK_STEPS_H_
