// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/register.h"

#include "src/proto/pruning.pb.h"
#include "src/pruning/prune_magnitude.h"

namespace wanlite {

absl::Status RegisterPruningPasses(PassRegistry& registry) {
  return registry.Register(
      PruneMagnitudeOptions::descriptor()->full_name(),
      [](const google::protobuf::Message& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
        const auto* typed =
            google::protobuf::DynamicCastToGenerated<PruneMagnitudeOptions>(&options);
        if (typed == nullptr) {
          return absl::InternalError("prune-magnitude: the options are no generated message");
        }
        return MakePruneMagnitude(*typed);
      });
}

}  // namespace wanlite
