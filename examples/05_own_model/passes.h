// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Two passes that live outside wanlite and know no model: public headers alone. In recipes they are
// named by their options:
//
//   passes { custom { [type.googleapis.com/google.protobuf.DoubleValue] { value: 0.5 } } }
//   passes { custom { [type.googleapis.com/google.protobuf.Int64Value] { value: 200 } } }
#ifndef WANLITE_EXAMPLES_05_OWN_MODEL_PASSES_H_
#define WANLITE_EXAMPLES_05_OWN_MODEL_PASSES_H_

#include "absl/status/status.h"
#include "wanlite/registry.h"

// prune-by-activation: keeps the given share of every axis group, those units that carry most on
// recorded inputs. The score of a unit is the norm of what it sends on, ||x_i||_2 ||W_i||_2, after
// Wanda (Sun et al. 2023, arXiv:2306.11695), of a whole channel.
//
// distil: trains the model for so many steps to give what the recipe's input model gives on
// recorded inputs.
absl::Status RegisterOwnPasses(wanlite::PassRegistry& registry);

#endif  // WANLITE_EXAMPLES_05_OWN_MODEL_PASSES_H_
