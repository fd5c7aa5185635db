// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How a network runs block by block, for code that knows nothing of the network: calibration and
// block-wise distillation hold one block in memory at a time, a runner fetches the next one
// meanwhile, step caches and depth pruning leave blocks out. Declared by the component's module,
// whose forward is a loop over the same steps.
#ifndef WANLITE_BLOCK_PROGRAM_H_
#define WANLITE_BLOCK_PROGRAM_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "wanlite/model_view.h"

namespace wanlite {

// What flows through a network, by name: its inputs, what its steps make, and its output.
using Values = std::map<std::string, at::Tensor>;

// Implemented by a torch::nn::Module beside nn::Describable. Calls are const and may run at once on
// several threads, each with Values of its own.
class BlockProgram {
 public:
  struct Step {
    // The block whose tensors the step needs, relative to the component as the topology declares it
    // ("blocks.3"); empty: the component's rest (embeddings, head).
    std::string block;
    // Names of the values that it makes or rewrites. All others stay as they were, so that what a
    // block does to a sample is known by these alone.
    std::vector<std::string> changes;
    // Adds to a value of the same shape: may be left out, and another value put in its place.
    bool residual = false;
  };

  virtual ~BlockProgram() = default;
  // In the order in which they run. Changes when blocks do.
  virtual std::vector<Step> Steps() const = 0;
  // Names that Values must hold before the first step; those ending in '?' may be missing.
  virtual std::vector<std::string> Inputs() const = 0;
  // Name of the result after the last step.
  virtual std::string Output() const = 0;
  // Reads what it needs from `values`, writes what Steps()[step].changes names. The block's tensors
  // must hold their values (see ModelView::Lease). Throws c10::Error on a value that is missing or
  // does not fit.
  virtual void RunStep(size_t step, Values& values) const = 0;

  // All steps; the output. Throws as RunStep.
  at::Tensor Run(Values values) const;
};

// The program of a component's module, or null where it declares none. Lives as long as the module.
const BlockProgram* ProgramOf(const Component& component);
// The full path of a step's block: that of ModelView::Lease and ModelView::blocks().
std::string BlockPath(const Component& component, const BlockProgram::Step& step);

// The value named so; throws c10::Error that names it where it is missing or undefined.
const at::Tensor& ValueOf(const Values& values, const char* name);

}  // namespace wanlite

#endif  // WANLITE_BLOCK_PROGRAM_H_
