// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which weight formats checkpoints may hold. A value, filled by an explicit list
// (src/builtin/weight_formats.cc), to which a program adds its own. Readers of model folders find
// it in their ArchitectureRegistry.
#ifndef WANLITE_WEIGHT_FORMATS_H_
#define WANLITE_WEIGHT_FORMATS_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/linear_weight.h"

namespace wanlite {

class WeightFormatRegistry;

// The tensors of a weight by their suffixes: "weight", "weight_scale".
using WeightState = std::map<std::string, at::Tensor>;

// Rebuilds a weight from what State() and attributes() gave; the tensors may be hollow.
// InvalidArgument for missing or unknown tensors, wrong dtypes or shapes, and attributes that the
// format does not know. `formats` is the registry that asks, for formats that wrap others.
using LinearWeightFactory = std::function<absl::StatusOr<std::unique_ptr<LinearWeight>>(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats)>;

class WeightFormatRegistry {
 public:
  // Knows "dense" alone.
  WeightFormatRegistry();
  // AlreadyExists when the format is known, InvalidArgument without a name or a factory.
  absl::Status Register(const std::string& format, LinearWeightFactory factory);
  // As of the factory, whose c10::Error comes back as a status; Unimplemented for a format that is
  // not known, naming those that are.
  absl::StatusOr<std::unique_ptr<LinearWeight>> Build(absl::string_view format,
                                                      const WeightState& state,
                                                      absl::string_view attributes_json) const;
  std::vector<std::string> formats() const;

 private:
  std::map<std::string, LinearWeightFactory> factories_;
};

// The formats of this build.
WeightFormatRegistry BuiltinWeightFormats();

}  // namespace wanlite

#endif  // WANLITE_WEIGHT_FORMATS_H_
