// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/pipeline.h"

#include <google/protobuf/message.h>

#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/checkpoint/folder_stamps.h"
#include "src/core/proto_text.h"
#include "src/pipeline/block_streams.h"
#include "src/pipeline/pass_runner.h"
#include "src/pipeline/plan.h"
#include "src/pipeline/run_dir.h"
#include "src/pipeline/stages.h"
#include "src/proto/manifest.pb.h"
#include "wanlite/model_library.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kManifestFile[] = "wanlite.json";

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

PassContext ContextOf(Env& env, const ParsedRecipe& recipe, const RunOptions& options) {
  PassContext context;
  context.env = &env;
  context.progress = options.progress != nullptr ? options.progress : &SilentProgress();
  context.cancel = options.cancel;
  context.seed = recipe.seed();
  context.device = options.device;
  context.samples = options.samples;
  context.models = options.models;
  context.group = options.group;
  return context;
}

std::vector<const Pass*> PassesOf(const ParsedRecipe& recipe) {
  std::vector<const Pass*> passes;
  for (const RecipeStage& stage : recipe.stages()) passes.push_back(stage.pass.get());
  return passes;
}

absl::StatusOr<int64_t> BytesOf(const ModelFolder& folder) {
  WANLITE_ASSIGN_OR_RETURN(const ModelView view, folder.BuildView());
  return StoredBytes(view.Tensors());
}

// Runs one pass over one checkpoint into the next.
class FolderRun {
 public:
  FolderRun(Env& env, const ParsedRecipe& recipe, const ModelFolder& folder,
            const ArchitectureRegistry& architectures, const CompressOptions& options, RunDir& run)
      : env_(env),
        recipe_(recipe),
        folder_(folder),
        architectures_(architectures),
        options_(options),
        run_(run) {}

  std::string StagePath(int number) const {
    return run_.StagePath(number, recipe_.stages()[number].pass->name());
  }

  absl::StatusOr<ModelFolder> OpenStage(int number) const {
    return ModelFolder::Open(env_, StagePath(number), OpenOptions(), architectures_);
  }

  absl::StatusOr<PassReport> RunStage(int number, const ModelFolder& input) {
    const Clock::time_point begin = Clock::now();
    const RecipeStage& recipe_stage = recipe_.stages()[number];
    PassReport report;
    report.pass = std::string(recipe_stage.pass->name());
    report.label = recipe_stage.label;
    LineageEntry lineage;
    if (env_.FileExists(JoinPath(StagePath(number), kManifestFile))) {
      WANLITE_RETURN_IF_ERROR(TakeFinished(number, input, report, lineage));
    } else {
      WANLITE_RETURN_IF_ERROR(Make(number, input, report, lineage));
    }
    StageState state;
    state.set_pass(report.pass);
    state.set_folder(Basename(StagePath(number)));
    *state.mutable_lineage() = lineage;
    state.set_bytes_before(report.bytes_before);
    state.set_bytes_after(report.bytes_after);
    WANLITE_RETURN_IF_ERROR(run_.FinishStage(std::move(state)));
    report.seconds = SecondsSince(begin);
    return report;
  }

 private:
  // Killed after the checkpoint was complete and before that was recorded.
  absl::Status TakeFinished(int number, const ModelFolder& input, PassReport& report,
                            LineageEntry& lineage) {
    WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, OpenStage(number));
    const std::shared_ptr<const Manifest> manifest = folder.manifest();
    if (manifest == nullptr || manifest->lineage().empty()) {
      return absl::DataLossError(
          absl::StrCat(StagePath(number), ": the finished stage has no lineage"));
    }
    lineage = *manifest->lineage().rbegin();
    report.metrics = Metrics(lineage.metrics().begin(), lineage.metrics().end());
    report.resumed = true;
    WANLITE_ASSIGN_OR_RETURN(report.bytes_before, BytesOf(input));
    WANLITE_ASSIGN_OR_RETURN(report.bytes_after, BytesOf(folder));
    return absl::OkStatus();
  }

  absl::Status Make(int number, const ModelFolder& input, PassReport& report,
                    LineageEntry& lineage) {
    const RecipeStage& recipe_stage = recipe_.stages()[number];
    const Pass& pass = *recipe_stage.pass;
    WANLITE_RETURN_IF_ERROR(run_.BeginStage(number, pass.name()));
    if (absl::IsDataLoss(run_.ReadDecision(number).status())) {
      // What was made by a decision that nobody can read fits no other.
      WANLITE_RETURN_IF_ERROR(run_.ClearStage(number, pass.name()));
    }
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer,
                             CheckpointWriter::Create(env_, StagePath(number)));
    FolderStage stage(input, run_, number, *writer);
    PassContext context = ContextOf(env_, recipe_, options_);
    context.scratch = run_.ScratchPath(number);
    const std::unique_ptr<ModelLibrary> models =
        NewModelLibrary(env_, architectures_, folder_, input);
    if (context.models == nullptr) context.models = models.get();
    WANLITE_ASSIGN_OR_RETURN(PassOutcome outcome, RunPass(recipe_stage, context, stage));
    report.resumed = outcome.resumed;
    report.bytes_before = outcome.bytes_before;
    report.bytes_after = outcome.bytes_after;
    report.metrics = std::move(outcome.metrics);

    lineage.set_pass(report.pass);
    lineage.set_options_type(pass.options().GetDescriptor()->full_name());
    lineage.set_options_text(ResolvedText(pass.options()));
    lineage.set_seed(context.seed);
    lineage.set_input_fingerprint(input.fingerprint());
    lineage.set_recipe(recipe_.name());
    if (pass.needs_samples()) lineage.set_samples_fingerprint(options_.samples->fingerprint());
    lineage.mutable_metrics()->insert(report.metrics.begin(), report.metrics.end());
    Manifest manifest;
    *manifest.add_lineage() = lineage;
    return writer->Finish(outcome.planned, &input, manifest);
  }

  Env& env_;
  const ParsedRecipe& recipe_;
  const ModelFolder& folder_;
  const ArchitectureRegistry& architectures_;
  const CompressOptions& options_;
  RunDir& run_;
};

PassReport ReportOf(const StageState& stage, const RecipeStage& recipe_stage) {
  PassReport report;
  report.pass = stage.pass();
  report.label = recipe_stage.label;
  report.resumed = true;
  report.bytes_before = stage.bytes_before();
  report.bytes_after = stage.bytes_after();
  report.metrics = Metrics(stage.lineage().metrics().begin(), stage.lineage().metrics().end());
  return report;
}

// Passes give their names to folders of the run, beside the run's own.
absl::Status CheckPassNames(const ParsedRecipe& recipe) {
  for (const RecipeStage& stage : recipe.stages()) {
    const absl::string_view name = stage.pass->name();
    bool fits = !name.empty() && name != "records" && name != "scratch";
    for (const char c : name) {
      fits = fits && (absl::ascii_islower(static_cast<unsigned char>(c)) ||
                      absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-');
    }
    if (fits) continue;
    return absl::InternalError(absl::StrCat(
        "a pass cannot be named '", std::string(name),
        "': wanted lower-case letters, digits and dashes, and neither records nor scratch"));
  }
  return absl::OkStatus();
}

absl::Status CheckStages(const RunState& state, const ParsedRecipe& recipe,
                         absl::string_view run_dir) {
  const size_t stages = recipe.stages().size();
  bool same = static_cast<size_t>(state.stages_size()) <= stages;
  for (int i = 0; same && i < state.stages_size(); ++i) {
    same = state.stages(i).pass() == recipe.stages()[i].pass->name();
  }
  if (same) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(run_dir,
                   ": the state of the unfinished run does not fit the recipe; restart to discard "
                   "it"));
}

// Refuses outputs that the run would have to remove, or could not publish.
absl::Status CheckPlaces(Env& env, const std::string& out_dir, const std::string& run_dir) {
  WANLITE_ASSIGN_OR_RETURN(const std::string out, env.ResolvePath(out_dir));
  WANLITE_ASSIGN_OR_RETURN(const std::string run, env.ResolvePath(run_dir));
  if (IsInside(run, out)) {
    return absl::InvalidArgumentError(absl::StrCat("run_dir ", run_dir, " cannot be in out_dir ",
                                                   out_dir,
                                                   ", which appears when the run is complete"));
  }
  if (IsInside(out, run)) {
    return absl::InvalidArgumentError(absl::StrCat("out_dir ", out_dir, " cannot be in run_dir ",
                                                   run_dir,
                                                   ", which goes when the run is complete"));
  }
  return absl::OkStatus();
}

// What would otherwise be known after all the work: the last step is a rename.
absl::Status CheckPublishable(Env& env, const std::string& out_dir, const std::string& run_dir) {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(Dirname(run_dir)));
  // By default the run folder is made where the output will be, and so tells by itself.
  if (Dirname(run_dir) != Dirname(out_dir)) {
    WANLITE_RETURN_IF_ERROR(env.CheckOutputFolder(out_dir));
  }
  const std::string place = env.FolderExists(run_dir) ? run_dir : Dirname(run_dir);
  WANLITE_ASSIGN_OR_RETURN(const bool one, env.OnOneFileSystem(place, Dirname(out_dir)));
  if (one) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "run_dir ", run_dir, " and out_dir ", out_dir,
      " are on two file systems, and the finished model could not be renamed from one ",
      "to the other; choose a run_dir beside out_dir"));
}

}  // namespace

absl::StatusOr<std::vector<PassPlan>> PlanRecipe(const ParsedRecipe& recipe,
                                                 const ModelFolder& folder,
                                                 const PlanOptions& options) {
  WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
  return PlanRecipe(recipe, view, options);
}

absl::StatusOr<std::vector<PassPlan>> PlanRecipe(const ParsedRecipe& recipe, ModelView& hollow,
                                                 const PlanOptions& options) {
  std::vector<PassPlan> plans;
  std::map<std::string, double> operations;
  if (options.count_operations) {
    WANLITE_ASSIGN_OR_RETURN(operations, options.count_operations(hollow));
  }
  bool estimated = false;
  for (const RecipeStage& stage : recipe.stages()) {
    WANLITE_ASSIGN_OR_RETURN(PassPlan plan, PlanOnto(*stage.pass, nullptr, hollow));
    plan.label = stage.label;
    if (plan.estimated) {
      plan.notes.push_back("decides from the model's values: what is said of it is an estimate");
    } else if (estimated) {
      plan.notes.push_back("planned on the estimate of a pass before it");
    }
    estimated = estimated || plan.estimated;
    plan.estimated = estimated;
    plan.operations_before = operations;
    if (options.count_operations) {
      WANLITE_ASSIGN_OR_RETURN(operations, options.count_operations(hollow));
    }
    plan.operations_after = operations;
    plans.push_back(std::move(plan));
  }
  return plans;
}

absl::StatusOr<RunReport> CompressFolder(Env& env, const ParsedRecipe& recipe,
                                         const ModelFolder& folder,
                                         const ArchitectureRegistry& architectures,
                                         const CompressOptions& options) {
  if (options.out_dir.empty()) return absl::InvalidArgumentError("out_dir is empty");
  const std::string out_dir = WithoutTrailingSlashes(options.out_dir);
  const std::string run_dir = options.run_dir.empty() ? absl::StrCat(out_dir, ".run")
                                                      : WithoutTrailingSlashes(options.run_dir);
  WANLITE_RETURN_IF_ERROR(CheckPlaces(env, out_dir, run_dir));
  const int stages = static_cast<int>(recipe.stages().size());
  const absl::Status free = env.CheckAbsent(out_dir);
  const bool published = absl::IsAlreadyExists(free);
  if (!published) WANLITE_RETURN_IF_ERROR(free);
  if (published && (options.restart || !RunDir::HasState(env, run_dir))) return free;

  // Whatever the plan refuses is refused before anything is written.
  WANLITE_RETURN_IF_ERROR(CheckPassNames(recipe));
  WANLITE_RETURN_IF_ERROR(PlanRecipe(recipe, folder).status());
  WANLITE_ASSIGN_OR_RETURN(const ModelView hollow, folder.BuildView());
  WANLITE_RETURN_IF_ERROR(CheckSamples(PassesOf(recipe), hollow, options.samples));
  if (!published) WANLITE_RETURN_IF_ERROR(CheckPublishable(env, out_dir, run_dir));
  RunIdentity identity{recipe.Fingerprint(), folder.fingerprint(), {}, ""};
  if (NeedSamples(PassesOf(recipe))) identity.samples_fingerprint = options.samples->fingerprint();
  WANLITE_ASSIGN_OR_RETURN(identity.model_files, StampsOf(env, folder));
  absl::StatusOr<std::unique_ptr<RunDir>> opened =
      RunDir::Open(env, run_dir, identity, options.restart);
  if (!opened.ok()) return published ? free : opened.status();
  RunDir& run = **opened;
  WANLITE_RETURN_IF_ERROR(CheckStages(run.state(), recipe, run_dir));

  FolderRun folder_run(env, recipe, folder, architectures, options, run);
  RunReport report;
  for (int i = 0; i < run.state().stages_size(); ++i) {
    report.passes.push_back(ReportOf(run.state().stages(i), recipe.stages()[i]));
  }
  const std::string last = folder_run.StagePath(stages - 1);
  if (published) {
    // Killed between the publication and the removal of the run folder?
    const bool ours = run.state().stages_size() == stages && !env.FolderExists(last);
    if (!ours) return free;
  } else {
    for (int stage = run.state().stages_size(); stage < stages; ++stage) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(options.cancel));
      ModelFolder input = folder;
      if (stage > 0) {
        WANLITE_ASSIGN_OR_RETURN(input, folder_run.OpenStage(stage - 1));
      }
      WANLITE_ASSIGN_OR_RETURN(PassReport pass, folder_run.RunStage(stage, input));
      report.passes.push_back(std::move(pass));
    }
    if (!env.FolderExists(last)) {
      return absl::FailedPreconditionError(absl::StrCat(
          run_dir, ": the run was complete and its result published, but it is not at ", out_dir,
          "; restart to run again"));
    }
    WANLITE_RETURN_IF_ERROR(env.CreateFolders(Dirname(out_dir)));
    WANLITE_RETURN_IF_ERROR(
        Annotate(env.Rename(last, out_dir), absl::StrCat("the compressed model is complete in ",
                                                         last, " but cannot become ", out_dir)));
  }
  WANLITE_RETURN_IF_ERROR(env.SyncFolder(Dirname(out_dir)));
  WANLITE_RETURN_IF_ERROR(
      Annotate(run.Remove(),
               absl::StrCat(out_dir, " is complete, but the run folder could not be removed")));
  return report;
}

absl::StatusOr<RunReport> CompressInMemory(const ParsedRecipe& recipe, ModelView& model,
                                           const InMemoryOptions& options) {
  if (model.streaming()) {
    return absl::FailedPreconditionError(
        "CompressInMemory wants a model in memory, this one streams from files: call LoadAll() "
        "first");
  }
  WANLITE_RETURN_IF_ERROR(CheckSamples(PassesOf(recipe), model, options.samples));
  WANLITE_RETURN_IF_ERROR(Annotate(CheckInvariants(model, model.Tensors()), "input"));
  Env& env = PosixEnv();
  RunReport report;
  for (size_t i = 0; i < recipe.stages().size(); ++i) {
    const Clock::time_point begin = Clock::now();
    const RecipeStage& recipe_stage = recipe.stages()[i];
    PassContext context = ContextOf(env, recipe, options);
    if (!options.scratch_dir.empty()) {
      context.scratch = JoinPath(options.scratch_dir, absl::StrCat("pass-", i + 1));
      WANLITE_RETURN_IF_ERROR(env.CheckAbsent(context.scratch));
      WANLITE_RETURN_IF_ERROR(env.CreateFolders(context.scratch));
    }
    MemoryStage stage(model);
    absl::StatusOr<PassOutcome> outcome = RunPass(recipe_stage, context, stage);
    if (!context.scratch.empty()) {
      const absl::Status removed = env.RemoveAll(context.scratch);
      if (outcome.ok()) WANLITE_RETURN_IF_ERROR(removed);
    }
    if (!outcome.ok()) return outcome.status();
    PassReport entry;
    entry.pass = std::string(recipe_stage.pass->name());
    entry.label = recipe_stage.label;
    entry.bytes_before = outcome->bytes_before;
    entry.bytes_after = outcome->bytes_after;
    entry.metrics = std::move(outcome->metrics);
    entry.seconds = SecondsSince(begin);
    report.passes.push_back(std::move(entry));
  }
  return report;
}

}  // namespace wanlite
