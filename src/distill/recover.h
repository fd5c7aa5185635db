// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The pass recover: gets back what pruning or rounding has cost. Its methods work on different
// scopes: layers and blocks one after the other (a BlockPass), or the whole network (a ModelPass).
#ifndef WANLITE_SRC_DISTILL_RECOVER_H_
#define WANLITE_SRC_DISTILL_RECOVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/proto/pruning.pb.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite {

absl::StatusOr<std::unique_ptr<Pass>> MakeRecover(const RecoverOptions& options);

// The methods LEAST_SQUARES and BLOCKS; MODEL is the pass distill. options: resolved.
std::unique_ptr<Pass> MakeRecoverLeastSquares(RecoverOptions options);
std::unique_ptr<Pass> MakeRecoverBlocks(RecoverOptions options);

// Who teaches, as ModelLibrary::Open() takes it.
std::string TeacherRef(const RecoverOptions& options);
// For Pass::Explain().
std::string TeacherText(const RecoverOptions& options);
// train::TrainedComponents() of the options.
absl::StatusOr<std::vector<std::string>> RecoveredComponents(const ModelView& model,
                                                             const RecoverOptions& options);

}  // namespace wanlite

#endif  // WANLITE_SRC_DISTILL_RECOVER_H_
