// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The evaluation set that a user's own clips make.
#ifndef WANLITE_SRC_EVALUATE_FOLDER_SET_H_
#define WANLITE_SRC_EVALUATE_FOLDER_SET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/evaluate/evaluation_set.h"
#include "wanlite/env.h"

namespace wanlite {

// Prompts and a folder of real clips: its clips in the order of names, in turns beside the models
// and for the floor, since names are often sorted by what the clips show. Nothing is read from
// clips, and alignment needs a text-video encoder, which the caller may add. InvalidArgument for
// fewer than 4 clips.
absl::StatusOr<EvaluationSet> MakeFolderSet(Env& env, const std::string& dir,
                                            const std::vector<std::string>& prompts, int64_t seeds,
                                            uint64_t seed);

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_FOLDER_SET_H_
