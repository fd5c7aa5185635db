// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which forward passes of several generations a recording keeps.
#ifndef WANLITE_SRC_RUNNER_SELECT_FORWARDS_H_
#define WANLITE_SRC_RUNNER_SELECT_FORWARDS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/runner.h"

namespace wanlite {

struct SelectedForward {
  int64_t prompt = 0;
  int64_t call = 0;   // index into the planned calls
  double weight = 1;  // how many passes it stands for
};

// `count` of the `calls` that each of `prompts` generations makes, as RecordRequest::samples says;
// sorted by prompt, then call. InvalidArgument when there are not enough for all experts.
absl::StatusOr<std::vector<SelectedForward>> SelectForwards(const std::vector<ForwardCall>& calls,
                                                            int64_t prompts, int64_t count,
                                                            uint64_t seed);

}  // namespace wanlite

#endif  // WANLITE_SRC_RUNNER_SELECT_FORWARDS_H_
