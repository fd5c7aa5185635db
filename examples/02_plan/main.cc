// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Says what a recipe would do to a model folder, from shapes alone.
//
//   example_plan MODEL_DIR RECIPE
#include <iomanip>
#include <iostream>
#include <string>

#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace {

double MiB(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

absl::Status Plan(const std::string& dir, const std::string& recipe_path) {
  wanlite::Env& env = wanlite::PosixEnv();
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ParsedRecipe recipe,
                           wanlite::ParsedRecipe::Load(env, recipe_path, wanlite::BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(
      const wanlite::ModelFolder folder,
      wanlite::ModelFolder::Open(env, dir, {}, wanlite::BuiltinArchitectures()));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<wanlite::PassPlan> plans,
                           wanlite::PlanRecipe(recipe, folder));

  std::cout << std::fixed << std::setprecision(2) << "recipe " << recipe.name() << "\n";
  for (const wanlite::PassPlan& plan : plans) {
    std::cout << plan.pass << ": " << plan.changes.size() << " changes, " << MiB(plan.bytes_before)
              << " -> " << MiB(plan.bytes_after) << " MiB, needs " << MiB(plan.peak_memory_bytes)
              << " MiB of memory\n";
    if (!plan.changes.empty()) {
      const wanlite::PlannedChange& first = plan.changes.front();
      std::cout << "  first: " << first.path << ": " << first.description << "\n";
    }
    for (const std::string& note : plan.notes) std::cout << "  note: " << note << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: example_plan MODEL_DIR RECIPE\n";
    return 2;
  }
  const absl::Status status = Plan(argv[1], argv[2]);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
