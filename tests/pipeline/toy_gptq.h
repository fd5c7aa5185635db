// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// GPTQ (Frantar et al. 2022) as a pass outside the library, of public headers alone.
#ifndef WANLITE_TESTS_PIPELINE_TOY_GPTQ_H_
#define WANLITE_TESTS_PIPELINE_TOY_GPTQ_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "wanlite/registry.h"

namespace wanlite::testing {

// google.protobuf.UInt32Value: "gptq", the linears of blocks on a grid of so many bits, each output
// channel with its own scale; columns take over the errors of those before them, by the inputs that
// the compressed predecessors leave. 103 is 3 bits and passes by the blocks numbered below 1.
// google.protobuf.UInt64Value: "round", the same grid, to the nearest value.
absl::Status RegisterToyGptq(PassRegistry& registry);

// Of every linear that gptq has rounded: the sum of weighted x^T x of its inputs, fp64 [in, in].
std::map<std::string, at::Tensor>& SeenMoments();

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_PIPELINE_TOY_GPTQ_H_
