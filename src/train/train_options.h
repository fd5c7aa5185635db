// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The options of training: read, checked, and cut down to what one stage depends on.
#ifndef WANLITE_SRC_TRAIN_TRAIN_OPTIONS_H_
#define WANLITE_SRC_TRAIN_TRAIN_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/proto/train.pb.h"
#include "wanlite/env.h"

namespace wanlite::train {

// Reads a textproto of TrainOptions. InvalidArgument with "file:line:column: what is wrong".
absl::StatusOr<TrainOptions> LoadTrainOptions(Env& env, absl::string_view path);

// InvalidArgument, naming the field, for options that one of the stages would refuse: what is wrong
// with the last stage is to be said before the first one has taken its hours.
absl::Status CheckTrainOptions(const TrainOptions& options, const std::vector<std::string>& stages);

// What the steps of a stage that trains depend on, but for its loop and its input files.
TrainOptions ObjectiveOptions(const TrainOptions& options, absl::string_view stage);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_TRAIN_OPTIONS_H_
