// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The part of a network that only the timestep feeds. What goes into its layers moves on a curve
// with one parameter, however wide they are. Declared by modules, as their topology is.
#ifndef WANLITE_TIME_PATH_H_
#define WANLITE_TIME_PATH_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "wanlite/model_view.h"

namespace wanlite {

// Implemented by a component's module beside nn::Describable.
class TimeConditioned {
 public:
  virtual ~TimeConditioned() = default;
  // The linears that read nothing else, in the order in which they run; paths relative to the
  // component, all outside its blocks.
  virtual std::vector<std::string> TimeLinears() const = 0;
  // Runs them at these timesteps, floating [n], for whoever taps them (linear_tap.h). The
  // component's rest must be leased.
  virtual void RunTimePath(const at::Tensor& timesteps) const = 0;
};

// Null where the component's module declares none.
const TimeConditioned* TimePathOf(const Component& component);
// With full paths; empty without.
std::vector<std::string> TimeLinearsOf(const Component& component);

}  // namespace wanlite

#endif  // WANLITE_TIME_PATH_H_
