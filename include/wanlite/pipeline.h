// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs a recipe: over a model folder, block by block and resumable, or over a model in memory.
#ifndef WANLITE_PIPELINE_H_
#define WANLITE_PIPELINE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pass.h"
#include "wanlite/recipe.h"

namespace wanlite {

struct PassReport {
  std::string pass;
  double seconds = 0;
  bool resumed = false;  // some or all of it came from an earlier, interrupted run
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
  std::map<std::string, double> metrics;
};

struct RunReport {
  std::vector<PassReport> passes;
};

struct CompressOptions {
  std::string out_dir;
  // Where stages and the run state live until the run is complete; "<out_dir>.run" when empty. The
  // same command run again continues there.
  std::string run_dir;
  // Discard an unfinished run instead of continuing it.
  bool restart = false;
  ProgressSink* progress = nullptr;           // SilentProgress() when null
  const CancellationToken* cancel = nullptr;  // never when null
};

// What the recipe would do to the folder, from shapes alone.
absl::StatusOr<std::vector<PassPlan>> PlanRecipe(const ParsedRecipe& recipe,
                                                 const ModelFolder& folder);
// The same for a hollow model, which gets the shapes and formats that the recipe would leave.
absl::StatusOr<std::vector<PassPlan>> PlanRecipe(const ParsedRecipe& recipe, ModelView& hollow);

// Compresses `folder` into a wanlite checkpoint at options.out_dir, which appears when it is
// complete. AlreadyExists when out_dir is there; InvalidArgument when one of out_dir and run_dir is
// in the other or they are on two file systems; FailedPrecondition when run_dir holds a run of
// another recipe, model or version, or anything that no run made there, which is never removed. A
// run killed at any moment and started again gives the same bytes.
absl::StatusOr<RunReport> CompressFolder(Env& env, const ParsedRecipe& recipe,
                                         const ModelFolder& folder,
                                         const ArchitectureRegistry& architectures,
                                         const CompressOptions& options);

// Runs the recipe over a model in memory. After an error the model is undefined.
absl::StatusOr<RunReport> CompressInMemory(const ParsedRecipe& recipe, ModelView& model,
                                           ProgressSink* progress = nullptr,
                                           const CancellationToken* cancel = nullptr);

// Checked after every pass: tensors finite, shapes agree with the plan, names unique.
absl::Status CheckInvariants(const ModelView& model, const std::vector<NamedTensor>& tensors);

}  // namespace wanlite

#endif  // WANLITE_PIPELINE_H_
