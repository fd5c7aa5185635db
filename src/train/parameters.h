// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The parameters of a module to and from files.
#ifndef WANLITE_SRC_TRAIN_PARAMETERS_H_
#define WANLITE_SRC_TRAIN_PARAMETERS_H_

#include <torch/nn/module.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/tensor_source.h"

namespace wanlite::train {

// By the module's own names, detached.
std::vector<NamedTensor> DetachedParameters(const torch::nn::Module& module);

// Fills the parameters from a safetensors file, whose tensors are called `name_of` the module's
// names (the same when empty); others in the file are left alone. NotFound and InvalidArgument name
// file and tensor: missing, of another shape, not floating point.
absl::Status LoadParameters(Env& env, const std::string& path, torch::nn::Module& module,
                            const std::function<std::string(const std::string&)>& name_of = {});

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_PARAMETERS_H_
