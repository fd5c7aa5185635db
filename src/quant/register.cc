// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/register.h"

#include "src/proto/quant.pb.h"
#include "src/quant/quantize_int8.h"

namespace wanlite {

absl::Status RegisterQuantPasses(PassRegistry& registry) {
  return registry.Register(
      QuantizeInt8Options::descriptor()->full_name(),
      [](const google::protobuf::Message& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
        const auto* typed = google::protobuf::DynamicCastToGenerated<QuantizeInt8Options>(&options);
        if (typed == nullptr) {
          return absl::InternalError("quantize-int8: the options are no generated message");
        }
        return MakeQuantizeInt8(*typed);
      });
}

}  // namespace wanlite
