// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What INT8 would save on a model folder, by an installed wanlite.
#include <iostream>

#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace {

absl::Status Run(const char* dir) {
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ParsedRecipe recipe,
                           wanlite::ParsedRecipe::Parse("passes { quantize_int8 { } }", "built in",
                                                        wanlite::BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(
      const wanlite::ModelFolder folder,
      wanlite::ModelFolder::Open(wanlite::PosixEnv(), dir, {}, wanlite::BuiltinArchitectures()));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<wanlite::PassPlan> plans,
                           wanlite::PlanRecipe(recipe, folder));
  std::cout << plans[0].pass << ": " << plans[0].bytes_before << " -> " << plans[0].bytes_after
            << " bytes\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const absl::Status status =
      argc == 2 ? Run(argv[1]) : absl::InvalidArgumentError("usage: plan MODEL_DIR");
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
