// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Linear layers that read some of their input features less, or not at all: how a unit is removed
// for a trial, and what its gradient is taken of.
#ifndef WANLITE_SRC_SEARCH_GATED_WEIGHT_H_
#define WANLITE_SRC_SEARCH_GATED_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/search/network_trials.h"
#include "wanlite/linear_weight.h"
#include "wanlite/model_view.h"

namespace wanlite {

struct LayerGates {
  // fp32 [in], or null for ones; what it holds may be exchanged between two forwards.
  std::shared_ptr<at::Tensor> input;
  at::Tensor output = {};  // fp32 [out], or undefined for ones
};

// y = output * (W (input * x) + bias) with the base's own arithmetic: an input that the base
// quantizes is gated before. Gives gradients to the gates where the base gives them to its input.
// It is a format for the time of a trial, which no checkpoint knows.
std::unique_ptr<LinearWeight> MakeGatedWeight(std::unique_ptr<LinearWeight> base, LayerGates gates);

// Gates layers of a leased block, by path, as an edit of a Trial does. InvalidArgument, naming
// layer and format, for a weight that cannot be wrapped; no layer has another weight on an error.
absl::StatusOr<Trial::Undo> GateLayers(ModelView& model,
                                       const std::map<std::string, LayerGates>& gates);

}  // namespace wanlite

#endif  // WANLITE_SRC_SEARCH_GATED_WEIGHT_H_
