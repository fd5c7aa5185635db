// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/block_program.h"

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/block_steps.h"
#include "src/model/rest_block.h"
#include "wanlite/topology.h"

namespace wanlite {

at::Tensor BlockProgram::Run(Values values) const {
  const size_t steps = Steps().size();
  for (size_t step = 0; step < steps; ++step) RunStep(step, values);
  return ValueOf(values, Output().c_str());
}

const BlockProgram* ProgramOf(const Component& component) {
  return dynamic_cast<const BlockProgram*>(component.module.get());
}

std::string BlockPath(const Component& component, const BlockProgram::Step& step) {
  if (step.block.empty()) return RestBlock(component.name);
  return component.name.empty() ? step.block : absl::StrCat(component.name, ".", step.block);
}

std::vector<BlockSteps> BlockStepsOf(const Component& component) {
  std::vector<BlockSteps> all;
  for (const BlockProgram::Step& step : ProgramOf(component)->Steps()) {
    const std::string block = BlockPath(component, step);
    if (all.empty() || all.back().block != block) {
      const size_t begin = all.empty() ? 0 : all.back().end;
      all.push_back({block, begin, begin, {}});
    }
    ++all.back().end;
    all.back().changes.insert(step.changes.begin(), step.changes.end());
  }
  return all;
}

const at::Tensor& ValueOf(const Values& values, const char* name) {
  const auto found = values.find(name);
  TORCH_CHECK_VALUE(found != values.end() && found->second.defined(), "no value '", name,
                    "' was given");
  return found->second;
}

}  // namespace wanlite
