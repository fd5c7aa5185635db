// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Plans a recipe, and runs it: over a model folder, block by block and resumable, or over a model
// in memory.
#ifndef WANLITE_PIPELINE_H_
#define WANLITE_PIPELINE_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pass.h"
#include "wanlite/recipe.h"

namespace wanlite {

// One change a pass would make.
struct PlannedChange {
  std::string path;         // tensor, linear or group
  std::string description;  // "dense bf16 -> int8", "[12, 8] -> [6, 8]", or in the pass's own words
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
  int64_t parameters_before = 0;
  int64_t parameters_after = 0;
};

// What a pass would do. Found by comparing the hollow model before and after, so it is what the
// pass does: the pipeline holds it to that.
struct PassPlan {
  std::string pass;
  std::string label;  // RecipeStage::label
  // The pass decides widths or formats from the model's values. What it and those after it leave is
  // an estimate until then.
  bool estimated = false;
  std::vector<PlannedChange> changes;
  int64_t bytes_before = 0;  // stored values of the whole model
  int64_t bytes_after = 0;
  // A quantized weight counts the matrix that it stands for.
  int64_t parameters_before = 0;
  int64_t parameters_after = 0;
  // As of PlanOptions::count_operations; empty without it.
  std::map<std::string, double> operations_before, operations_after;
  int64_t peak_memory_bytes = 0;
  std::vector<TrainingNote> trainings;  // of the pass, for CostOf()
  std::vector<std::string> notes;
  // What is wrong with the pass where it stands in the recipe, and why. The recipe runs all the
  // same.
  std::vector<std::string> warnings;
};

struct PlanOptions {
  // Operations of one forward, by component or whatever else one wants to see: asked of the hollow
  // model before the first pass and after each.
  std::function<absl::StatusOr<std::map<std::string, double>>(const ModelView&)> count_operations;
  // What the recipe would run with; samples that a pass cannot do with are FailedPrecondition. Not
  // asked about when null.
  const SampleSet* samples = nullptr;
};

// What the recipe would do to the folder, from shapes alone.
absl::StatusOr<std::vector<PassPlan>> PlanRecipe(const ParsedRecipe& recipe,
                                                 const ModelFolder& folder,
                                                 const PlanOptions& options = {});
// The same for a hollow model, which gets the shapes and formats that the recipe would leave.
absl::StatusOr<std::vector<PassPlan>> PlanRecipe(const ParsedRecipe& recipe, ModelView& hollow,
                                                 const PlanOptions& options = {});

// Measures a quality for the floors of repeats.
class QualityGauge {
 public:
  virtual ~QualityGauge();
  // What recipes call it: "weight-cosine".
  virtual absl::string_view name() const = 0;
  // Whether Measure() wants context.samples. A run without them is then refused before anything is
  // written, and their fingerprint belongs to the run.
  virtual bool needs_samples() const;
  // Higher is better. `now` is what the passes so far have made of `original`, or the original
  // itself. The same for the same models. May throw c10::Error.
  virtual absl::StatusOr<double> Measure(const ModelFolder& original, const ModelFolder& now,
                                         PassContext& context) const = 0;
};

// "weight-cosine": the cosine between all linear weights of the denoisers (of the model, when it
// has none) and the original's, taken as one vector. Cheap, and blind to what weights do. For
// models whose layers keep their shapes.
const QualityGauge& WeightCosineGauge();
// "output-cosine": the cosine between what the denoisers (the other networks, when no denoiser has
// samples) make of recorded inputs and what the original's make of them, the mean over samples by
// their weight. For models of any structure; loads one network after the other.
const QualityGauge& OutputCosineGauge();

struct PassReport {
  std::string pass;
  std::string label;  // RecipeStage::label
  double seconds = 0;
  bool resumed = false;  // some or all of it came from an earlier, interrupted run
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
  std::map<std::string, double> metrics;
  std::vector<std::string> notes;  // of Pass::Explain()
  std::optional<double> gauge;     // of RecipeStage::floor
  bool accepted = true;  // false: of a round that fell below its floor, no part of the result
};

struct RunReport {
  std::vector<PassReport> passes;
  // Why the run stopped before its last stage: a round fell below its floor. Empty when it did not.
  std::string stopped;
};

// What passes get: see PassContext.
struct RunOptions {
  ProgressSink* progress = nullptr;           // SilentProgress() when null
  const CancellationToken* cancel = nullptr;  // never when null
  at::Device device = at::Device(at::kCPU);
  const SampleSet* samples = nullptr;
  ModelLibrary* models = nullptr;  // null over a folder: NewModelLibrary() of each stage
  ProcessGroup* group = nullptr;   // whose rank 0 this is; others call AssistFolder()
  const VideoTextEncoder* alignment = nullptr;
};

struct CompressOptions : RunOptions {
  std::string out_dir;
  // Where stages and the run state live until the run is complete; "<out_dir>.run" when empty. The
  // same command run again continues there.
  std::string run_dir;
  // Where trainings log their steps: "LOG_DIR/stage-1-distill/transformer.jsonl". Stays when the
  // run is complete. Empty: nowhere.
  std::string log_dir;
  // Discard an unfinished run instead of continuing it.
  bool restart = false;
  // For floors of repeats, beside those above. Not owned.
  std::vector<const QualityGauge*> gauges;
};

struct InMemoryOptions : RunOptions {
  // A folder for passes that keep files while they work; each gets one of its own below, which goes
  // when the pass is complete. Without it such passes fail.
  std::string scratch_dir;
};

// Compresses `folder` into a wanlite checkpoint at options.out_dir, which appears when it is
// complete. AlreadyExists when out_dir is there; InvalidArgument when one of out_dir and run_dir is
// in the other or they are on two file systems; FailedPrecondition when run_dir holds a run of
// another recipe, model or version, or anything that no run made there, which is never removed. A
// run killed at any moment and started again gives the same bytes. InvalidArgument, before anything
// is written, for a floor whose gauge is not there; FailedPrecondition when already the first round
// of a repeat falls below its floor and nothing comes before it.
//
// Blocks that no pass touches are not written again: where `folder` is a wanlite checkpoint, their
// files in the output are hard links to its files, or copies where the file system has no links.
absl::StatusOr<RunReport> CompressFolder(Env& env, const ParsedRecipe& recipe,
                                         const ModelFolder& folder,
                                         const ArchitectureRegistry& architectures,
                                         const CompressOptions& options);

// What the ranks above 0 of options.group do, in processes of their own, while rank 0 runs
// CompressFolder() with the same recipe and folder on the same disk: they take part in the model
// passes, which train together, and take their share of the blocks of passes whose blocks are
// independent (BlockPass::blocks_are_independent()). The output is rank 0's. Returns when rank 0 is
// done; Unavailable when it ended before.
absl::Status AssistFolder(Env& env, const ParsedRecipe& recipe, const ModelFolder& folder,
                          const ArchitectureRegistry& architectures, const RunOptions& options);

// Runs the recipe over a model in memory. After an error the model is undefined. Unimplemented for
// a recipe with a floor: there is nothing to go back to.
absl::StatusOr<RunReport> CompressInMemory(const ParsedRecipe& recipe, ModelView& model,
                                           const InMemoryOptions& options = {});

// Checked after every pass: tensors finite, shapes agree with the plan, names unique.
absl::Status CheckInvariants(const ModelView& model, const std::vector<NamedTensor>& tensors);

}  // namespace wanlite

#endif  // WANLITE_PIPELINE_H_
