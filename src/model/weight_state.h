// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What factories of weight formats check of the tensors that they are given.
#ifndef WANLITE_SRC_MODEL_WEIGHT_STATE_H_
#define WANLITE_SRC_MODEL_WEIGHT_STATE_H_

#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// `what` is the format in messages: "an int4 weight".

// InvalidArgument for a tensor that is missing or undefined, and for one of another name.
absl::Status CheckTensors(absl::string_view what, const WeightState& state,
                          std::initializer_list<const char*> required,
                          std::initializer_list<const char*> optional = {});

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_WEIGHT_STATE_H_
