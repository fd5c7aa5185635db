// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The one list of networks that model folders may hold.
#include <c10/util/Exception.h>

#include "src/model/wan/dit_architecture.h"
#include "src/model/wan/umt5_names.h"
#include "src/model/wan/vae_names.h"
#include "wanlite/architecture.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

const ArchitectureRegistry& BuiltinArchitectures() {
  static const ArchitectureRegistry& registry = *[] {
    auto* list = new ArchitectureRegistry;
    for (const auto architecture : {
             wan::DitArchitecture,
             wan::Umt5Architecture,
             wan::VaeArchitecture,
         }) {
      // Fails only when two networks claim one class name.
      const absl::Status status = list->Register(architecture());
      TORCH_INTERNAL_ASSERT(status.ok(), status.ToString());
    }
    list->weight_formats() = BuiltinWeightFormats();
    return list;
  }();
  return registry;
}

}  // namespace wanlite
