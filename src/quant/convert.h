// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass convert: weights that were made for training turn into what they were trained to be
// (LinearWeight::Merge). Others stay as they are, their blocks unread.
#ifndef WANLITE_SRC_QUANT_CONVERT_H_
#define WANLITE_SRC_QUANT_CONVERT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class ConvertOptions;

absl::StatusOr<std::unique_ptr<Pass>> MakeConvert(const ConvertOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_CONVERT_H_
