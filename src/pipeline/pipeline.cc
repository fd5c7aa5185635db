// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/pipeline.h"

#include <google/protobuf/message.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/checkpoint/folder_stamps.h"
#include "src/core/catch_torch.h"
#include "src/core/proto_text.h"
#include "src/model/select_linears.h"
#include "src/pipeline/invariants.h"
#include "src/pipeline/run_dir.h"
#include "src/proto/manifest.pb.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kPrepare[] = "prepare";
constexpr char kManifestFile[] = "wanlite.json";

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void AddTo(Metrics& sums, const Metrics& more) {
  for (const auto& [name, value] : more) sums[name] += value;
}

absl::Status CheckMetrics(const Metrics& metrics) {
  for (const auto& [name, value] : metrics) {
    if (!std::isfinite(value)) {
      return absl::InternalError(absl::StrCat("metric ", name, " is ", value));
    }
  }
  return absl::OkStatus();
}

// Applies a pass's plan to a hollow model; plan and shapes must tell the same size.
absl::StatusOr<PassPlan> PlanOnto(const Pass& pass, ModelView& hollow) {
  absl::StatusOr<PassPlan> plan = CatchTorch([&] { return pass.Plan(hollow); });
  if (!plan.ok()) return Annotate(plan.status(), pass.name());
  WANLITE_RETURN_IF_ERROR(
      Annotate(CatchTorch([&] { return pass.ApplyPlan(hollow); }), pass.name()));
  const int64_t bytes = StoredBytes(hollow.Tensors());
  if (bytes != plan->bytes_after) {
    return absl::InternalError(absl::StrCat(pass.name(), ": the plan says ", plan->bytes_after,
                                            " bytes after the pass, its shapes have ", bytes));
  }
  return plan;
}

// One pass over one checkpoint, into a stage folder.
class StageRunner {
 public:
  StageRunner(Env& env, const ParsedRecipe& recipe, const CompressOptions& options, RunDir& run,
              int stage)
      : env_(env),
        recipe_(recipe),
        pass_(*recipe.passes()[stage]),
        progress_(options.progress != nullptr ? *options.progress : SilentProgress()),
        cancel_(options.cancel),
        run_(run),
        stage_(stage) {}

  absl::StatusOr<PassReport> Run(const ModelFolder& input,
                                 const ArchitectureRegistry& architectures) {
    const Clock::time_point begin = Clock::now();
    const std::string path = run_.StagePath(stage_, pass_.name());
    PassReport report;
    report.pass = std::string(pass_.name());
    WANLITE_ASSIGN_OR_RETURN(ModelView planned, input.BuildView());
    report.bytes_before = StoredBytes(planned.Tensors());
    WANLITE_RETURN_IF_ERROR(PlanOnto(pass_, planned).status());
    report.bytes_after = StoredBytes(planned.Tensors());

    LineageEntry lineage;
    if (env_.FileExists(JoinPath(path, kManifestFile))) {
      // Killed after the checkpoint was complete and before that was recorded.
      WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                               ModelFolder::Open(env_, path, OpenOptions(), architectures));
      const std::shared_ptr<const Manifest> manifest = folder.manifest();
      if (manifest == nullptr || manifest->lineage().empty()) {
        return absl::DataLossError(absl::StrCat(path, ": the finished stage has no lineage"));
      }
      lineage = *manifest->lineage().rbegin();
      report.metrics = Metrics(lineage.metrics().begin(), lineage.metrics().end());
      report.resumed = true;
    } else {
      WANLITE_RETURN_IF_ERROR(run_.BeginStage(stage_, pass_.name(),
                                              /*fresh=*/pass_.scope() == PassScope::kModel));
      WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer,
                               CheckpointWriter::Create(env_, path));
      if (pass_.scope() == PassScope::kBlock) {
        WANLITE_RETURN_IF_ERROR(RunBlocks(input, planned, *writer, report));
      } else {
        WANLITE_RETURN_IF_ERROR(RunModel(input, planned, *writer, report));
      }
      pass_.FinishMetrics(report.metrics);
      WANLITE_RETURN_IF_ERROR(CheckMetrics(report.metrics));
      lineage.set_pass(report.pass);
      lineage.set_options_type(pass_.options().GetDescriptor()->full_name());
      lineage.set_options_text(ResolvedText(pass_.options()));
      lineage.set_seed(recipe_.seed());
      lineage.set_input_fingerprint(input.fingerprint());
      lineage.set_recipe(recipe_.name());
      lineage.mutable_metrics()->insert(report.metrics.begin(), report.metrics.end());
      Manifest manifest;
      *manifest.add_lineage() = lineage;
      WANLITE_RETURN_IF_ERROR(writer->Finish(planned, &input, manifest));
    }

    StageState state;
    state.set_pass(report.pass);
    state.set_folder(Basename(path));
    *state.mutable_lineage() = lineage;
    state.set_bytes_before(report.bytes_before);
    state.set_bytes_after(report.bytes_after);
    WANLITE_RETURN_IF_ERROR(run_.FinishStage(std::move(state)));
    report.seconds = SecondsSince(begin);
    return report;
  }

 private:
  PassContext NewContext() {
    PassContext context;
    context.env = &env_;
    context.progress = &progress_;
    context.cancel = cancel_;
    context.seed = recipe_.seed();
    return context;
  }

  void BeginProgress(int64_t blocks) {
    progress_.Begin(absl::StrCat(stage_ + 1, "/", recipe_.passes().size(), " ", pass_.name()),
                    blocks);
  }

  absl::Status RunBlocks(const ModelFolder& input, const ModelView& planned,
                         CheckpointWriter& writer, PassReport& report) {
    WANLITE_ASSIGN_OR_RETURN(ModelView view, input.BuildView());
    // A block is done when its file is there; its numbers were published before it.
    const std::vector<BlockInfo> blocks = view.blocks();
    std::vector<std::optional<Metrics>> done(blocks.size());
    bool complete = true;
    for (size_t i = 0; i < blocks.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel_));  // all of an earlier run's work is hashed
      if (writer.HasBlock(blocks[i].path)) {
        done[i] = run_.ReadRecord(stage_, absl::StrCat(i), blocks[i].path);
      }
      if (done[i]) report.resumed = true;
      complete = complete && done[i].has_value();
    }

    std::unique_ptr<Pass::State> state;
    std::optional<Metrics> prepared = run_.ReadRecord(stage_, kPrepare, kPrepare);
    if (!complete || !prepared) {
      PassContext context = NewContext();
      absl::StatusOr<std::unique_ptr<Pass::State>> prepare =
          CatchTorch([&] { return pass_.Prepare(view, context); });
      if (!prepare.ok()) return Annotate(prepare.status(), pass_.name());
      state = *std::move(prepare);
      prepared = std::move(context.metrics);
      WANLITE_RETURN_IF_ERROR(CheckMetrics(*prepared));
      WANLITE_RETURN_IF_ERROR(run_.WriteRecord(stage_, kPrepare, kPrepare, *prepared));
    }

    report.metrics = *prepared;
    BeginProgress(static_cast<int64_t>(blocks.size()));
    for (size_t i = 0; i < blocks.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel_));
      const std::string& block = blocks[i].path;
      if (!done[i]) {
        absl::StatusOr<Metrics> metrics = RunBlock(view, planned, block, i, state.get(), writer);
        if (!metrics.ok())
          return Annotate(metrics.status(), absl::StrCat(pass_.name(), ": ", block));
        done[i] = *std::move(metrics);
      }
      AddTo(report.metrics, *done[i]);
      progress_.Update(static_cast<int64_t>(i) + 1, block);
    }
    progress_.End();
    return absl::OkStatus();
  }

  absl::StatusOr<Metrics> RunBlock(ModelView& view, const ModelView& planned,
                                   const std::string& block, size_t number, Pass::State* state,
                                   CheckpointWriter& writer) {
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, view.Lease(block));
    WANLITE_RETURN_IF_ERROR(Annotate(CheckFinite(lease.State()), "input"));
    PassContext context = NewContext();
    context.progress = &SilentProgress();  // the line shows the blocks
    WANLITE_RETURN_IF_ERROR(
        CatchTorch([&] { return pass_.RunBlock(view, lease, state, context); }));
    const std::vector<NamedTensor> tensors = lease.State();
    WANLITE_RETURN_IF_ERROR(CheckInvariants(view, tensors));
    WANLITE_RETURN_IF_ERROR(CheckPlanKept(view, planned, block, tensors));
    WANLITE_RETURN_IF_ERROR(CheckMetrics(context.metrics));
    WANLITE_RETURN_IF_ERROR(run_.WriteRecord(stage_, absl::StrCat(number), block, context.metrics));
    WANLITE_RETURN_IF_ERROR(writer.WriteBlock(view.ComponentOf(block).name, block, tensors));
    return std::move(context.metrics);
  }

  absl::Status RunModel(const ModelFolder& input, const ModelView& planned,
                        CheckpointWriter& writer, PassReport& report) {
    WANLITE_ASSIGN_OR_RETURN(ModelView view, input.BuildView());
    WANLITE_RETURN_IF_ERROR(view.LoadAll());
    WANLITE_RETURN_IF_ERROR(
        Annotate(CheckFinite(view.Tensors()), absl::StrCat(pass_.name(), ": input")));
    PassContext context = NewContext();
    WANLITE_RETURN_IF_ERROR(
        Annotate(CatchTorch([&] { return pass_.RunModel(view, context); }), pass_.name()));
    report.metrics = std::move(context.metrics);
    BeginProgress(static_cast<int64_t>(view.blocks().size()));
    int64_t written = 0;
    for (const BlockInfo& info : view.blocks()) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel_));
      const std::vector<NamedTensor> tensors = view.BlockTensors(info.path);
      const std::string where = absl::StrCat(pass_.name(), ": ", info.path);
      WANLITE_RETURN_IF_ERROR(Annotate(CheckInvariants(view, tensors), where));
      WANLITE_RETURN_IF_ERROR(Annotate(CheckPlanKept(view, planned, info.path, tensors), where));
      WANLITE_RETURN_IF_ERROR(
          writer.WriteBlock(view.ComponentOf(info.path).name, info.path, tensors));
      progress_.Update(++written, info.path);
    }
    progress_.End();
    return absl::OkStatus();
  }

  Env& env_;
  const ParsedRecipe& recipe_;
  const Pass& pass_;
  ProgressSink& progress_;
  const CancellationToken* cancel_;
  RunDir& run_;
  const int stage_;
};

PassReport ReportOf(const StageState& stage) {
  PassReport report;
  report.pass = stage.pass();
  report.resumed = true;
  report.bytes_before = stage.bytes_before();
  report.bytes_after = stage.bytes_after();
  report.metrics = Metrics(stage.lineage().metrics().begin(), stage.lineage().metrics().end());
  return report;
}

absl::Status CheckStages(const RunState& state, const ParsedRecipe& recipe,
                         absl::string_view run_dir) {
  const size_t passes = recipe.passes().size();
  bool same = static_cast<size_t>(state.stages_size()) <= passes;
  for (int i = 0; same && i < state.stages_size(); ++i) {
    same = state.stages(i).pass() == recipe.passes()[i]->name();
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
                                                 const ModelFolder& folder) {
  WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
  return PlanRecipe(recipe, view);
}

absl::StatusOr<std::vector<PassPlan>> PlanRecipe(const ParsedRecipe& recipe, ModelView& hollow) {
  std::vector<PassPlan> plans;
  for (const std::shared_ptr<const Pass>& pass : recipe.passes()) {
    WANLITE_ASSIGN_OR_RETURN(PassPlan plan, PlanOnto(*pass, hollow));
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
  const int passes = static_cast<int>(recipe.passes().size());
  const absl::Status free = env.CheckAbsent(out_dir);
  const bool published = absl::IsAlreadyExists(free);
  if (!published) WANLITE_RETURN_IF_ERROR(free);
  if (published && (options.restart || !RunDir::HasState(env, run_dir))) return free;

  // Whatever the plan refuses is refused before anything is written.
  WANLITE_RETURN_IF_ERROR(PlanRecipe(recipe, folder).status());
  if (!published) WANLITE_RETURN_IF_ERROR(CheckPublishable(env, out_dir, run_dir));
  RunIdentity identity{recipe.Fingerprint(), folder.fingerprint(), {}};
  WANLITE_ASSIGN_OR_RETURN(identity.model_files, StampsOf(env, folder));
  absl::StatusOr<std::unique_ptr<RunDir>> opened =
      RunDir::Open(env, run_dir, identity, options.restart);
  if (!opened.ok()) return published ? free : opened.status();
  RunDir& run = **opened;
  WANLITE_RETURN_IF_ERROR(CheckStages(run.state(), recipe, run_dir));

  RunReport report;
  const auto stage_path = [&](int stage) {
    return run.StagePath(stage, recipe.passes()[stage]->name());
  };
  for (const StageState& stage : run.state().stages()) report.passes.push_back(ReportOf(stage));
  if (published) {
    // Killed between the publication and the removal of the run folder?
    const bool ours =
        run.state().stages_size() == passes && !env.FolderExists(stage_path(passes - 1));
    if (!ours) return free;
  } else {
    for (int stage = run.state().stages_size(); stage < passes; ++stage) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(options.cancel));
      ModelFolder input = folder;
      if (stage > 0) {
        WANLITE_ASSIGN_OR_RETURN(
            input, ModelFolder::Open(env, stage_path(stage - 1), OpenOptions(), architectures));
      }
      WANLITE_ASSIGN_OR_RETURN(
          PassReport pass, StageRunner(env, recipe, options, run, stage).Run(input, architectures));
      report.passes.push_back(std::move(pass));
    }
    if (!env.FolderExists(stage_path(passes - 1))) {
      return absl::FailedPreconditionError(absl::StrCat(
          run_dir, ": the run was complete and its result published, but it is not at ", out_dir,
          "; restart to run again"));
    }
    WANLITE_RETURN_IF_ERROR(env.CreateFolders(Dirname(out_dir)));
    WANLITE_RETURN_IF_ERROR(
        Annotate(env.Rename(stage_path(passes - 1), out_dir),
                 absl::StrCat("the compressed model is complete in ", stage_path(passes - 1),
                              " but cannot become ", out_dir)));
  }
  WANLITE_RETURN_IF_ERROR(env.SyncFolder(Dirname(out_dir)));
  WANLITE_RETURN_IF_ERROR(
      Annotate(run.Remove(),
               absl::StrCat(out_dir, " is complete, but the run folder could not be removed")));
  return report;
}

absl::StatusOr<RunReport> CompressInMemory(const ParsedRecipe& recipe, ModelView& model,
                                           ProgressSink* progress,
                                           const CancellationToken* cancel) {
  if (model.streaming()) {
    return absl::FailedPreconditionError(
        "CompressInMemory wants a model in memory, this one streams from files: call LoadAll() "
        "first");
  }
  WANLITE_RETURN_IF_ERROR(Annotate(CheckInvariants(model, model.Tensors()), "input"));
  ProgressSink& sink = progress != nullptr ? *progress : SilentProgress();
  RunReport report;
  for (size_t i = 0; i < recipe.passes().size(); ++i) {
    const Pass& pass = *recipe.passes()[i];
    const Clock::time_point begin = Clock::now();
    absl::StatusOr<PassPlan> plan = CatchTorch([&] { return pass.Plan(model); });
    if (!plan.ok()) return Annotate(plan.status(), pass.name());
    PassReport entry;
    entry.pass = std::string(pass.name());
    entry.bytes_before = StoredBytes(model.Tensors());

    PassContext context;
    context.env = &PosixEnv();
    context.progress = &sink;
    context.cancel = cancel;
    context.seed = recipe.seed();
    const auto run = [&]() -> absl::Status {
      if (pass.scope() == PassScope::kModel) {
        WANLITE_RETURN_IF_ERROR(pass.RunModel(model, context));
        entry.metrics = std::move(context.metrics);
        return CheckInvariants(model, model.Tensors());
      }
      WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<Pass::State> state,
                               pass.Prepare(model, context));
      entry.metrics = std::exchange(context.metrics, {});
      const std::vector<BlockInfo> blocks = model.blocks();
      sink.Begin(absl::StrCat(i + 1, "/", recipe.passes().size(), " ", pass.name()),
                 static_cast<int64_t>(blocks.size()));
      context.progress = &SilentProgress();
      for (size_t b = 0; b < blocks.size(); ++b) {
        WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
        WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(blocks[b].path));
        WANLITE_RETURN_IF_ERROR(
            Annotate(pass.RunBlock(model, lease, state.get(), context), blocks[b].path));
        WANLITE_RETURN_IF_ERROR(Annotate(CheckInvariants(model, lease.State()), blocks[b].path));
        AddTo(entry.metrics, std::exchange(context.metrics, {}));
        sink.Update(static_cast<int64_t>(b) + 1, blocks[b].path);
      }
      sink.End();
      return absl::OkStatus();
    };
    WANLITE_RETURN_IF_ERROR(Annotate(CatchTorch(run), pass.name()));
    entry.bytes_after = StoredBytes(model.Tensors());
    if (entry.bytes_after != plan->bytes_after) {
      return absl::InternalError(absl::StrCat(pass.name(), ": the plan said ", plan->bytes_after,
                                              " bytes after the pass, there are ",
                                              entry.bytes_after));
    }
    pass.FinishMetrics(entry.metrics);
    WANLITE_RETURN_IF_ERROR(CheckMetrics(entry.metrics));
    entry.seconds = SecondsSince(begin);
    report.passes.push_back(std::move(entry));
  }
  return report;
}

}  // namespace wanlite
