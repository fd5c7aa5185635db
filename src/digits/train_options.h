// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The options of training: read, checked, and cut down to what one stage depends on.
#ifndef WANLITE_SRC_DIGITS_TRAIN_OPTIONS_H_
#define WANLITE_SRC_DIGITS_TRAIN_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/digits/digits.pb.h"
#include "wanlite/env.h"

namespace wanlite::digits {

// Reads a textproto of DigitsTrainOptions. InvalidArgument with "file:line:column: what is wrong".
absl::StatusOr<DigitsTrainOptions> LoadDigitsOptions(Env& env, absl::string_view path);

// InvalidArgument, naming the field, for options that one of the stages would refuse: what is wrong
// with the last stage is to be said before the first one has taken its hours.
absl::Status CheckDigitsOptions(const DigitsTrainOptions& options,
                                const std::vector<std::string>& stages);

// What the steps of a stage that trains depend on, but for its loop and its input files.
DigitsTrainOptions ObjectiveOptions(const DigitsTrainOptions& options, absl::string_view stage);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_TRAIN_OPTIONS_H_
