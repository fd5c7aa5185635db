// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/pipeline.h"
#include "src/checkpoint/manifest_json.h"
#include "src/core/stopwatch.h"

#include <google/protobuf/message.h>

#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/folder_stamps.h"
#include "src/core/catch_torch.h"
#include "src/core/proto_text.h"
#include "src/pipeline/assist.h"
#include "src/pipeline/block_streams.h"
#include "src/pipeline/pass_runner.h"
#include "src/pipeline/plan.h"
#include "src/pipeline/run_dir.h"
#include "src/pipeline/share_blocks.h"
#include "src/pipeline/stages.h"
#include "src/proto/manifest.pb.h"
#include "wanlite/model_library.h"
#include "wanlite/process_group.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"
#include "wanlite/training_cost.h"

namespace wanlite {
namespace {

PassContext ContextOf(Env& env, const RecipeStage& stage, const RunOptions& options) {
  PassContext context;
  context.env = &env;
  context.progress = options.progress != nullptr ? options.progress : &SilentProgress();
  context.cancel = options.cancel;
  context.seed = stage.seed;
  context.device = options.device;
  context.samples = options.samples;
  context.models = options.models;
  context.group = options.group;
  context.alignment = options.alignment;
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

absl::StatusOr<const QualityGauge*> FindGauge(const std::string& name,
                                              const CompressOptions& options) {
  std::vector<const QualityGauge*> known = options.gauges;
  known.push_back(&WeightCosineGauge());
  known.push_back(&OutputCosineGauge());
  std::vector<std::string> names;
  for (const QualityGauge* gauge : known) {
    if (gauge->name() == name) return gauge;
    names.push_back(std::string(gauge->name()));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the recipe has a floor of the gauge '", name,
                   "', which is not known here; there are: ", absl::StrJoin(names, ", ")));
}

// True when a gauge of the recipe needs samples.
absl::StatusOr<bool> CheckGauges(const ParsedRecipe& recipe, const ModelView& hollow,
                                 const CompressOptions& options) {
  bool samples = false;
  for (const RecipeStage& stage : recipe.stages()) {
    if (!stage.floor.has_value()) continue;
    WANLITE_ASSIGN_OR_RETURN(const QualityGauge* const gauge,
                             FindGauge(stage.floor->gauge, options));
    if (!gauge->needs_samples()) continue;
    samples = true;
    WANLITE_RETURN_IF_ERROR(CheckSamplesFor(gauge->name(), hollow, options.samples));
  }
  return samples;
}

// Runs the passes of a recipe over a folder, each over the checkpoint that the one before left.
class FolderRun {
 public:
  FolderRun(Env& env, const ParsedRecipe& recipe, const ModelFolder& original,
            const ArchitectureRegistry& architectures, const CompressOptions& options, RunDir& run)
      : env_(env),
        recipe_(recipe),
        original_(original),
        architectures_(architectures),
        options_(options),
        run_(run) {}

  // Nothing is left to run: all stages are complete, or a floor has ended the run.
  bool Complete() const {
    return !run_.state().stopped().empty() ||
           run_.state().stages_size() == static_cast<int>(recipe_.stages().size());
  }
  // Of a complete run: where its result is until it is published.
  absl::StatusOr<std::string> Result() const {
    const int accepted = run_.state().accepted();
    if (accepted > 0) return StagePath(accepted - 1);
    return absl::FailedPreconditionError(
        absl::StrCat("nothing is published, for no round kept its floor: ", run_.state().stopped(),
                     "; restart with another recipe"));
  }

  // Runs the next stage.
  absl::StatusOr<PassReport> Next() {
    const int number = run_.state().stages_size();
    ModelFolder input = original_;
    if (number > 0) {
      WANLITE_ASSIGN_OR_RETURN(input, OpenStage(number - 1));
    }
    return RunStage(number, input);
  }

 private:
  std::string StagePath(int number) const {
    return run_.StagePath(number, recipe_.stages()[number].pass->name());
  }

  absl::StatusOr<ModelFolder> OpenStage(int number) const {
    return ModelFolder::Open(env_, StagePath(number), OpenOptions(), architectures_);
  }

  absl::StatusOr<PassReport> RunStage(int number, const ModelFolder& input) {
    const Stopwatch time;
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
    int accepted = recipe_stage.judged ? run_.state().accepted() : number + 1;
    std::string stopped;
    if (recipe_stage.floor.has_value()) {
      WANLITE_ASSIGN_OR_RETURN(const double gauge, Measure(number, recipe_stage));
      WANLITE_ASSIGN_OR_RETURN(const double least, LeastOf(number, recipe_stage));
      report.gauge = gauge;
      state.set_gauge(gauge);
      if (gauge >= least) {
        accepted = number + 1;
      } else {
        stopped = absl::StrCat(recipe_stage.label, " left ", recipe_stage.floor->gauge, " ", gauge,
                               ", below the floor of ", least);
      }
    }
    WANLITE_RETURN_IF_ERROR(run_.FinishStage(std::move(state), accepted, stopped));
    report.seconds = time.Seconds();
    return report;
  }

  absl::StatusOr<double> Measure(int number, const RecipeStage& recipe_stage) {
    WANLITE_ASSIGN_OR_RETURN(const ModelFolder now, OpenStage(number));
    return Measure(number, recipe_stage, now);
  }

  absl::StatusOr<double> Measure(int number, const RecipeStage& recipe_stage,
                                 const ModelFolder& now) {
    WANLITE_ASSIGN_OR_RETURN(const QualityGauge* const gauge,
                             FindGauge(recipe_stage.floor->gauge, options_));
    PassContext context = ContextOf(env_, recipe_stage, options_);
    context.scratch = run_.ScratchPath(number);
    const absl::StatusOr<double> value =
        CatchTorch([&] { return gauge->Measure(original_, now, context); });
    if (!value.ok()) return Annotate(value.status(), gauge->name());
    if (std::isfinite(*value)) return *value;
    return absl::InternalError(absl::StrCat(gauge->name(), ": the quality is ", *value));
  }

  // What the floor asks for. The original is measured once in a run.
  absl::StatusOr<double> LeastOf(int number, const RecipeStage& recipe_stage) {
    const QualityFloor& floor = *recipe_stage.floor;
    if (!floor.relative) return floor.at_least;
    const auto& known = run_.state().original_gauges();
    if (known.find(floor.gauge) == known.end()) {
      WANLITE_ASSIGN_OR_RETURN(const double value, Measure(number, recipe_stage, original_));
      WANLITE_RETURN_IF_ERROR(run_.WriteOriginalGauge(floor.gauge, value));
    }
    return floor.at_least * run_.state().original_gauges().at(floor.gauge);
  }

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
    report.notes.assign(lineage.notes().begin(), lineage.notes().end());
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
    PassContext context = ContextOf(env_, recipe_stage, options_);
    context.scratch = run_.ScratchPath(number);
    if (!options_.log_dir.empty()) {
      context.logs =
          JoinPath(options_.log_dir, absl::StrCat("stage-", number + 1, "-", pass.name()));
    }
    const std::unique_ptr<ModelLibrary> models =
        NewModelLibrary(env_, architectures_, original_, input);
    if (context.models == nullptr) context.models = models.get();
    if (dynamic_cast<const ModelPass*>(&pass) != nullptr || SharesBlocks(pass, context.group)) {
      WANLITE_RETURN_IF_ERROR(TellStage(context.group, {number, input.dir(), context.scratch}));
    }
    WANLITE_ASSIGN_OR_RETURN(PassOutcome outcome, RunPass(recipe_stage, context, stage));
    report.resumed = outcome.resumed;
    report.bytes_before = outcome.bytes_before;
    report.bytes_after = outcome.bytes_after;
    report.metrics = std::move(outcome.metrics);
    report.notes = std::move(outcome.notes);

    lineage.set_pass(report.pass);
    lineage.set_options_type(pass.options().GetDescriptor()->full_name());
    lineage.set_options_text(ResolvedText(pass.options()));
    lineage.set_seed(context.seed);
    lineage.set_input_fingerprint(input.fingerprint());
    lineage.set_recipe(recipe_.name());
    if (pass.needs_samples()) lineage.set_samples_fingerprint(options_.samples->fingerprint());
    lineage.mutable_metrics()->insert(report.metrics.begin(), report.metrics.end());
    lineage.mutable_notes()->Add(report.notes.begin(), report.notes.end());
    Manifest manifest;
    *manifest.add_lineage() = lineage;
    return writer->Finish(outcome.planned, &input, manifest);
  }

  Env& env_;
  const ParsedRecipe& recipe_;
  const ModelFolder& original_;
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
  report.notes.assign(stage.lineage().notes().begin(), stage.lineage().notes().end());
  if (stage.has_gauge()) report.gauge = stage.gauge();
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
  bool same = static_cast<size_t>(state.stages_size()) <= stages && state.accepted() >= 0 &&
              state.accepted() <= state.stages_size();
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

// Logs of trainings stay when the run folder goes, and must not be where the result will appear.
absl::Status CheckLogPlace(Env& env, const std::string& log_dir, const std::string& out_dir,
                           const std::string& run_dir) {
  if (log_dir.empty()) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const std::string log, env.ResolvePath(WithoutTrailingSlashes(log_dir)));
  for (const std::string& dir : {out_dir, run_dir}) {
    WANLITE_ASSIGN_OR_RETURN(const std::string place, env.ResolvePath(dir));
    if (log != place && !IsInside(log, place)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("log_dir ", log_dir, " cannot be in ", dir, ": give it a place of its own"));
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
  OrderWatch order;
  for (const RecipeStage& stage : recipe.stages()) {
    // What the plan refuses is said before what the samples lack.
    if (options.samples != nullptr && stage.pass->needs_samples() &&
        stage.pass->Plan(hollow).ok()) {
      WANLITE_RETURN_IF_ERROR(CheckSamplesOf(*stage.pass, hollow, options.samples));
    }
    WANLITE_ASSIGN_OR_RETURN(PassPlan plan, PlanOnto(*stage.pass, nullptr, hollow));
    plan.label = stage.label;
    plan.warnings = order.Next(stage);
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
  if (options.group != nullptr && options.group->rank() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rank ", options.group->rank(), " of a group cannot run a recipe: rank 0 does, and the ",
        "others call AssistFolder()"));
  }
  const std::string out_dir = WithoutTrailingSlashes(options.out_dir);
  const std::string run_dir = options.run_dir.empty() ? absl::StrCat(out_dir, ".run")
                                                      : WithoutTrailingSlashes(options.run_dir);
  WANLITE_RETURN_IF_ERROR(CheckPlaces(env, out_dir, run_dir));
  WANLITE_RETURN_IF_ERROR(CheckLogPlace(env, options.log_dir, out_dir, run_dir));
  const absl::Status free = env.CheckAbsent(out_dir);
  const bool published = absl::IsAlreadyExists(free);
  if (!published) WANLITE_RETURN_IF_ERROR(free);
  if (published && (options.restart || !RunDir::HasState(env, run_dir))) return free;

  // Whatever the plan refuses is refused before anything is written.
  WANLITE_RETURN_IF_ERROR(CheckPassNames(recipe));
  WANLITE_ASSIGN_OR_RETURN(const ModelView hollow, folder.BuildView());
  WANLITE_ASSIGN_OR_RETURN(const bool gauges_need_samples, CheckGauges(recipe, hollow, options));
  PlanOptions plan_options;
  plan_options.samples = options.samples;
  WANLITE_ASSIGN_OR_RETURN(const auto plans, PlanRecipe(recipe, folder, plan_options));
  if (options.group != nullptr) {
    for (const auto& plan : plans) {
      for (const TrainingNote& training : plan.trainings) {
        WANLITE_RETURN_IF_ERROR(CheckProcesses(training, options.group->size()));
      }
    }
  }
  if (options.samples == nullptr) {
    WANLITE_RETURN_IF_ERROR(CheckSamples(PassesOf(recipe), hollow, nullptr));
  }
  if (!published) WANLITE_RETURN_IF_ERROR(CheckPublishable(env, out_dir, run_dir));
  RunIdentity identity{recipe.Fingerprint(), folder.fingerprint(), {}, ""};
  if (gauges_need_samples || NeedSamples(PassesOf(recipe))) {
    identity.samples_fingerprint = options.samples->fingerprint();
  }
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
  if (published) {
    // Killed between the publication and the removal of the run folder?
    if (!folder_run.Complete()) return free;
    const absl::StatusOr<std::string> result = folder_run.Result();
    if (!result.ok() || env.FolderExists(*result)) return free;
  } else {
    while (!folder_run.Complete()) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(options.cancel));
      WANLITE_ASSIGN_OR_RETURN(PassReport pass, folder_run.Next());
      report.passes.push_back(std::move(pass));
    }
    WANLITE_RETURN_IF_ERROR(TellStage(options.group, {}));
    const absl::StatusOr<std::string> result = folder_run.Result();
    if (!result.ok()) return Annotate(result.status(), run_dir);
    if (!env.FolderExists(*result)) {
      return absl::FailedPreconditionError(absl::StrCat(
          run_dir, ": the run was complete and its result published, but it is not at ", out_dir,
          "; restart to run again"));
    }
    WANLITE_RETURN_IF_ERROR(env.CreateFolders(Dirname(out_dir)));
    WANLITE_RETURN_IF_ERROR(Annotate(env.Rename(*result, out_dir),
                                     absl::StrCat("the compressed model is complete in ", *result,
                                                  " but cannot become ", out_dir)));
  }
  report.stopped = run.state().stopped();
  for (size_t i = static_cast<size_t>(run.state().accepted()); i < report.passes.size(); ++i) {
    report.passes[i].accepted = false;
  }
  WANLITE_RETURN_IF_ERROR(env.SyncFolder(Dirname(out_dir)));
  WANLITE_RETURN_IF_ERROR(
      Annotate(run.Remove(),
               absl::StrCat(out_dir, " is complete, but the run folder could not be removed")));
  return report;
}

absl::Status AssistFolder(Env& env, const ParsedRecipe& recipe, const ModelFolder& folder,
                          const ArchitectureRegistry& architectures, const RunOptions& options) {
  if (options.group == nullptr || options.group->rank() == 0) {
    return absl::InvalidArgumentError("AssistFolder() is for the ranks of a group above 0");
  }
  while (true) {
    WANLITE_ASSIGN_OR_RETURN(const AssistedStage told, HearStage(*options.group));
    if (told.number < 0) return absl::OkStatus();
    const auto stages = static_cast<int>(recipe.stages().size());
    const Pass* const given =
        told.number < stages ? recipe.stages()[told.number].pass.get() : nullptr;
    const auto* pass = dynamic_cast<const ModelPass*>(given);
    if (pass == nullptr && (given == nullptr || !SharesBlocks(*given, options.group))) {
      return absl::InvalidArgumentError(
          absl::StrCat("rank 0 is at stage ", told.number + 1,
                       ", which is no pass of this recipe that processes run together"));
    }
    ModelFolder input = folder;
    if (told.input != folder.dir()) {
      WANLITE_ASSIGN_OR_RETURN(input,
                               ModelFolder::Open(env, told.input, OpenOptions(), architectures));
    }
    std::vector<std::string> wanted;
    if (pass != nullptr) {
      WANLITE_ASSIGN_OR_RETURN(const ModelView hollow, input.BuildView());
      WANLITE_ASSIGN_OR_RETURN(wanted, pass->components(hollow));
    }
    WANLITE_ASSIGN_OR_RETURN(ModelView model, input.BuildView(wanted));
    if (pass != nullptr) WANLITE_RETURN_IF_ERROR(model.LoadAll());
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<google::protobuf::Message> decision,
                             HearDecision(*options.group));
    WANLITE_RETURN_IF_ERROR(Annotate(
        CatchTorch([&] { return given->Restructure(model, decision.get()); }), given->name()));
    PassContext context = ContextOf(env, recipe.stages()[told.number], options);
    context.scratch = told.scratch;
    const std::unique_ptr<ModelLibrary> models = NewModelLibrary(env, architectures, folder, input);
    if (context.models == nullptr) context.models = models.get();
    if (pass == nullptr) {
      WANLITE_RETURN_IF_ERROR(Annotate(
          AssistWithBlocks(dynamic_cast<const BlockPass&>(*given), decision.get(), model, context),
          given->name()));
      continue;
    }
    WANLITE_RETURN_IF_ERROR(Annotate(
        CatchTorch([&] { return pass->RunModel(model, decision.get(), context); }), pass->name()));
  }
}

absl::StatusOr<RunReport> CompressInMemory(const ParsedRecipe& recipe, ModelView& model,
                                           const InMemoryOptions& options) {
  if (model.streaming()) {
    return absl::FailedPreconditionError(
        "CompressInMemory wants a model in memory, this one streams from files: call LoadAll() "
        "first");
  }
  for (const RecipeStage& stage : recipe.stages()) {
    if (!stage.floor.has_value()) continue;
    return absl::UnimplementedError(
        "a repeat with a floor runs over a folder only: in memory there is nothing to go back to");
  }
  WANLITE_RETURN_IF_ERROR(CheckSamples(PassesOf(recipe), model, options.samples));
  WANLITE_RETURN_IF_ERROR(Annotate(CheckInvariants(model, model.Tensors()), "input"));
  Env& env = PosixEnv();
  RunReport report;
  for (size_t i = 0; i < recipe.stages().size(); ++i) {
    const Stopwatch time;
    const RecipeStage& recipe_stage = recipe.stages()[i];
    PassContext context = ContextOf(env, recipe_stage, options);
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
    entry.notes = std::move(outcome->notes);
    entry.seconds = time.Seconds();
    report.passes.push_back(std::move(entry));
  }
  return report;
}

}  // namespace wanlite
