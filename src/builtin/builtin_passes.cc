// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The one list of passes. A new area adds a line.
#include <c10/util/Exception.h>

#include "src/distill/register.h"
#include "src/lora/register.h"
#include "src/pruning/register.h"
#include "src/quant/register.h"
#include "wanlite/registry.h"

namespace wanlite {

PassRegistry BuiltinPasses() {
  PassRegistry registry;
  for (const auto register_passes : {
           RegisterDistillPasses,
           RegisterLoraPasses,
           RegisterPruningPasses,
           RegisterQuantPasses,
       }) {
    // Fails only when two areas claim one options message.
    const absl::Status status = register_passes(registry);
    TORCH_INTERNAL_ASSERT(status.ok(), status.ToString());
  }
  return registry;
}

}  // namespace wanlite
