// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/pass_runner.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/threads.h"
#include "src/model/check_scales.h"
#include "src/model/dump.h"
#include "src/pipeline/assist.h"
#include "src/pipeline/block_streams.h"
#include "src/pipeline/invariants.h"
#include "src/pipeline/plan.h"
#include "src/pipeline/share_blocks.h"
#include "wanlite/pipeline.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

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

class PassRunner {
 public:
  PassRunner(const RecipeStage& recipe_stage, const PassContext& context, Stage& stage)
      : pass_(*recipe_stage.pass),
        label_(recipe_stage.label),
        context_(context),
        progress_(*context.progress),
        stage_(stage) {}

  absl::StatusOr<PassOutcome> Run() {
    WANLITE_ASSIGN_OR_RETURN(const Decision decision, DecideOnce());
    WANLITE_ASSIGN_OR_RETURN(ModelView planned, stage_.Hollow());
    WANLITE_ASSIGN_OR_RETURN(const PassPlan plan, PlanOnto(pass_, decision.message.get(), planned));
    if (decision.message != nullptr) WANLITE_RETURN_IF_ERROR(CheckExact(planned));
    PassOutcome outcome{std::move(planned), resumed_, plan.bytes_before, plan.bytes_after,
                        decision.metrics};
    const google::protobuf::Message* message = decision.message.get();
    outcome.notes = pass_.Explain(message);
    if (const auto* pass = dynamic_cast<const BlockPass*>(&pass_)) {
      WANLITE_RETURN_IF_ERROR(RunBlocks(*pass, message, outcome));
    } else if (const auto* pass = dynamic_cast<const ModelPass*>(&pass_)) {
      WANLITE_RETURN_IF_ERROR(RunModel(*pass, message, outcome));
    } else {
      return absl::InternalError(
          absl::StrCat(pass_.name(), ": the pass is neither a BlockPass nor a ModelPass"));
    }
    pass_.FinishMetrics(outcome.metrics);
    WANLITE_RETURN_IF_ERROR(Named(CheckMetrics(outcome.metrics)));
    outcome.resumed = resumed_;
    return outcome;
  }

 private:
  absl::Status Named(const absl::Status& status) const { return Annotate(status, pass_.name()); }
  absl::Status Named(const absl::Status& status, const std::string& block) const {
    return Annotate(status, absl::StrCat(pass_.name(), ": ", block));
  }

  PassContext NewContext() const {
    PassContext context = context_;
    context.metrics.clear();
    if (!pass_.needs_samples()) context.samples = nullptr;
    return context;
  }

  absl::StatusOr<Decision> DecideOnce() {
    WANLITE_ASSIGN_OR_RETURN(std::optional<Decision> earlier, stage_.ReadDecision());
    if (earlier.has_value()) {
      resumed_ = true;
      return *std::move(earlier);
    }
    WANLITE_ASSIGN_OR_RETURN(ModelView* const model, stage_.Model());
    const std::string before = model->Fingerprint();
    PassContext context = NewContext();
    Decision decision;
    const absl::Status decided = CatchTorch([&]() -> absl::Status {
      WANLITE_ASSIGN_OR_RETURN(decision.message, pass_.Decide(*model, context));
      return absl::OkStatus();
    });
    WANLITE_RETURN_IF_ERROR(Named(decided));
    if (model->Fingerprint() != before) {
      return absl::InternalError(absl::StrCat(pass_.name(), ": Decide() changed the model"));
    }
    decision.metrics = std::move(context.metrics);
    WANLITE_RETURN_IF_ERROR(Named(CheckMetrics(decision.metrics)));
    WANLITE_RETURN_IF_ERROR(Named(stage_.WriteDecision(decision)));
    return decision;
  }

  // A pass that says that its plan is exact must not leave another one after all.
  absl::Status CheckExact(const ModelView& planned) {
    WANLITE_ASSIGN_OR_RETURN(ModelView estimated, stage_.Hollow());
    WANLITE_ASSIGN_OR_RETURN(const PassPlan estimate, PlanOnto(pass_, nullptr, estimated));
    if (estimate.estimated || estimated.Fingerprint() == planned.Fingerprint()) {
      return absl::OkStatus();
    }
    return absl::InternalError(
        absl::StrCat(pass_.name(), ": its decision changed the plan, which it called exact"));
  }

  // Edits the model as its plan was, and notes what components that changes.
  absl::Status Restructure(ModelView& model, const google::protobuf::Message* decision) {
    const std::vector<Component> before = model.components();
    WANLITE_RETURN_IF_ERROR(Named(CatchTorch([&] { return pass_.Restructure(model, decision); })));
    for (const Component& was : before) {
      const Component* now = model.FindComponent(was.name);
      if (now == nullptr) continue;  // taken out
      if (now->module != was.module || now->resized != was.resized) restructured_.insert(was.name);
    }
    return absl::OkStatus();
  }

  absl::Status RunBlocks(const BlockPass& pass, const google::protobuf::Message* decision,
                         PassOutcome& outcome) {
    WANLITE_ASSIGN_OR_RETURN(ModelView* const model, stage_.Model());
    WANLITE_RETURN_IF_ERROR(Restructure(*model, decision));
    const std::vector<BlockInfo> blocks = model->blocks();
    std::vector<bool> touched(blocks.size()), done(blocks.size());
    std::vector<std::optional<Metrics>> published(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context_.cancel));  // an earlier run's work is hashed
      WANLITE_RETURN_IF_ERROR(Named(CatchTorch([&] {
                                      touched[i] = pass.Touches(*model, blocks[i].path);
                                      return absl::OkStatus();
                                    }),
                                    blocks[i].path));
      if (touched[i]) {
        WANLITE_ASSIGN_OR_RETURN(published[i], stage_.Published(i, blocks[i].path));
      }
      done[i] = published[i].has_value();
    }
    absl::StatusOr<BlockStreams> streams =
        BlockStreams::Open(pass, *model, NewContext(), touched, done);
    if (!streams.ok()) return Named(streams.status());
    std::optional<SharedBlocks> shared;
    if (stage_.assisted() && SharesBlocks(pass, context_.group)) {
      std::vector<size_t> left;
      for (size_t i = 0; i < blocks.size(); ++i) {
        if (touched[i] && !done[i]) left.push_back(i);
      }
      WANLITE_RETURN_IF_ERROR(TellDecision(context_.group, decision));
      WANLITE_ASSIGN_OR_RETURN(shared, SharedBlocks::Begin(*context_.env, *context_.group,
                                                           context_.scratch, std::move(left)));
    }
    progress_.Begin(label_, static_cast<int64_t>(blocks.size()));
    for (size_t i = 0; i < blocks.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context_.cancel));
      const std::string& block = blocks[i].path;
      absl::StatusOr<Metrics> metrics = Metrics();
      if (shared.has_value() && touched[i] && !done[i]) {
        metrics = RunShared(pass, decision, *model, outcome.planned, *streams, *shared, i);
      } else if (done[i] && !streams->Streams(i)) {
        resumed_ = true;
        metrics = *std::move(published[i]);
      } else if (touched[i]) {
        for (size_t next = i + 1; next < blocks.size(); ++next) {
          if (!touched[next] || (done[next] && !streams->Streams(next))) continue;
          ReadAhead(*model, blocks[next].path);
          break;
        }
        metrics = RunBlock(pass, decision, *model, outcome.planned, *streams, i, block);
      } else {
        absl::Status passed = PassBy(*model, *streams, i, block);
        if (!passed.ok()) return Named(passed, block);
        metrics = Keep(*model, outcome.planned, i, block);
      }
      if (!publishing_.ok()) return Named(publishing_);
      if (!metrics.ok()) return Named(metrics.status(), block);
      AddTo(outcome.metrics, *metrics);
      progress_.Update(static_cast<int64_t>(i) + 1, block);
    }
    WANLITE_RETURN_IF_ERROR(Named(stage_.Flush()));
    progress_.End();
    return absl::OkStatus();
  }

  // A hint: what comes of it is seen when the block is read.
  void ReadAhead(const ModelView& model, const std::string& block) {
    reading_
        .Start([read = model.ReadAhead(block)] {
          read();
          return absl::OkStatus();
        })
        .IgnoreError();
  }

  // Errors of both name the block, which may be one before this.
  absl::Status Flush() {
    publishing_ = stage_.Flush();
    return publishing_;
  }
  absl::Status Publish(size_t number, const std::string& component, const std::string& block,
                       const std::vector<NamedTensor>& tensors, const Metrics* metrics) {
    publishing_ = stage_.Publish(number, component, block, tensors, metrics);
    return publishing_;
  }

  absl::StatusOr<Metrics> RunBlock(const BlockPass& pass, const google::protobuf::Message* decision,
                                   ModelView& model, const ModelView& planned,
                                   BlockStreams& streams, size_t number, const std::string& block) {
    PassContext context = NewContext();
    context.progress = &SilentProgress();  // the line shows the blocks
    WANLITE_ASSIGN_OR_RETURN(context.activations, streams.Enter(number));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block));
    WANLITE_RETURN_IF_ERROR(Annotate(CheckFinite(lease.State()), "input"));
    WANLITE_RETURN_IF_ERROR(Annotate(CheckScales(model, block), "input"));
    WANLITE_RETURN_IF_ERROR(streams.BeforeEdit(number, lease));
    WANLITE_RETURN_IF_ERROR(
        CatchTorch([&] { return pass.RunBlock(model, lease, decision, context); }));
    const std::vector<NamedTensor> tensors = lease.State();
    WANLITE_RETURN_IF_ERROR(CheckInvariants(model, tensors));
    WANLITE_RETURN_IF_ERROR(CheckPlanKept(model, planned, block, tensors));
    WANLITE_RETURN_IF_ERROR(CheckMetrics(context.metrics));
    // Before it is published: what is published is never run again.
    WANLITE_RETURN_IF_ERROR(streams.AfterEdit(number, lease));
    WANLITE_RETURN_IF_ERROR(
        Publish(number, model.ComponentOf(block).name, block, tensors, &context.metrics));
    if (streams.Streams(number)) {
      // What the next block starts from may replace what this one started from.
      WANLITE_RETURN_IF_ERROR(Flush());
      WANLITE_RETURN_IF_ERROR(streams.Published(number));
    }
    return std::move(context.metrics);
  }

  // A block that is this process's or another one's to work on.
  absl::StatusOr<Metrics> RunShared(const BlockPass& pass,
                                    const google::protobuf::Message* decision, ModelView& model,
                                    const ModelView& planned, BlockStreams& streams,
                                    SharedBlocks& shared, size_t number) {
    const std::string& block = model.blocks()[number].path;
    if (!shared.IsOthers(number)) {
      WANLITE_ASSIGN_OR_RETURN(Metrics metrics,
                               RunBlock(pass, decision, model, planned, streams, number, block));
      WANLITE_RETURN_IF_ERROR(shared.Meet());
      return metrics;
    }
    WANLITE_ASSIGN_OR_RETURN(const SharedBlocks::Made made, shared.Take(model, number));
    WANLITE_RETURN_IF_ERROR(CheckInvariants(model, made.tensors));
    WANLITE_RETURN_IF_ERROR(CheckPlanKept(model, planned, block, made.tensors));
    WANLITE_RETURN_IF_ERROR(CheckMetrics(made.metrics));
    WANLITE_RETURN_IF_ERROR(
        Publish(number, model.ComponentOf(block).name, block, made.tensors, &made.metrics));
    WANLITE_RETURN_IF_ERROR(Flush());
    WANLITE_RETURN_IF_ERROR(shared.Remove(number));
    return made.metrics;
  }

  // Activations go through a block that the pass does not touch.
  absl::Status PassBy(ModelView& model, BlockStreams& streams, size_t number,
                      const std::string& block) {
    if (!streams.Streams(number)) return absl::OkStatus();
    WANLITE_RETURN_IF_ERROR(streams.Enter(number).status());
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block));
    WANLITE_RETURN_IF_ERROR(Annotate(CheckFinite(lease.State()), "input"));
    WANLITE_RETURN_IF_ERROR(streams.BeforeEdit(number, lease));
    return streams.AfterEdit(number, lease);
  }

  // A block that the pass does not touch.
  absl::StatusOr<Metrics> Keep(ModelView& model, const ModelView& planned, size_t number,
                               const std::string& block) {
    WANLITE_RETURN_IF_ERROR(CheckPlanKept(model, planned, block, model.BlockTensors(block)));
    const std::string& component = model.ComponentOf(block).name;
    // What is there already is asked next.
    WANLITE_RETURN_IF_ERROR(Flush());
    // Files of a component whose structure was edited hold what it was before.
    if (!restructured_.contains(component)) {
      WANLITE_ASSIGN_OR_RETURN(const bool adopted, stage_.Adopt(component, block));
      if (adopted) return Metrics();
    }
    WANLITE_ASSIGN_OR_RETURN(std::optional<Metrics> published, stage_.Published(number, block));
    if (published.has_value()) {
      resumed_ = true;
      return *std::move(published);
    }
    // The one after it will be read too, for this pass or to be copied.
    if (number + 1 < model.blocks().size()) ReadAhead(model, model.blocks()[number + 1].path);
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block));
    const std::vector<NamedTensor> tensors = lease.State();
    WANLITE_RETURN_IF_ERROR(Annotate(CheckFinite(tensors), "input"));
    const Metrics none;
    WANLITE_RETURN_IF_ERROR(Publish(number, component, block, tensors, &none));
    return none;
  }

  absl::Status RunModel(const ModelPass& pass, const google::protobuf::Message* decision,
                        PassOutcome& outcome) {
    WANLITE_ASSIGN_OR_RETURN(ModelView* const input, stage_.Model());
    std::vector<std::string> wanted;
    WANLITE_RETURN_IF_ERROR(Named(CatchTorch([&]() -> absl::Status {
      WANLITE_ASSIGN_OR_RETURN(wanted, pass.components(*input));
      return absl::OkStatus();
    })));
    for (const std::string& name : wanted) {
      if (input->FindComponent(name) != nullptr) continue;
      return absl::InternalError(
          absl::StrCat(pass_.name(), ": asks for the component '", name, "', which is not there"));
    }
    WANLITE_ASSIGN_OR_RETURN(ModelView* const model, stage_.Load(wanted));
    WANLITE_RETURN_IF_ERROR(Restructure(*input, decision));
    if (model != input) WANLITE_RETURN_IF_ERROR(Restructure(*model, decision));
    WANLITE_RETURN_IF_ERROR(Named(CheckFinite(model->Tensors()), "input"));
    PassContext context = NewContext();
    WANLITE_RETURN_IF_ERROR(TellDecision(context.group, decision));
    WANLITE_RETURN_IF_ERROR(
        Named(CatchTorch([&] { return pass.RunModel(*model, decision, context); })));
    AddTo(outcome.metrics, context.metrics);

    const std::vector<BlockInfo> blocks = input->blocks();
    progress_.Begin(label_, static_cast<int64_t>(blocks.size()));
    for (size_t i = 0; i < blocks.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context_.cancel));
      const std::string& block = blocks[i].path;
      const std::string& component = input->ComponentOf(block).name;
      if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), component) == wanted.end()) {
        const absl::Status kept = Keep(*input, outcome.planned, i, block).status();
        if (!publishing_.ok()) return Named(publishing_);
        WANLITE_RETURN_IF_ERROR(Named(kept, block));
      } else {
        const std::vector<NamedTensor> tensors = model->BlockTensors(block);
        WANLITE_RETURN_IF_ERROR(Named(CheckInvariants(*model, tensors), block));
        WANLITE_RETURN_IF_ERROR(
            Named(CheckPlanKept(*model, outcome.planned, block, tensors), block));
        WANLITE_RETURN_IF_ERROR(Named(Publish(i, component, block, tensors, nullptr)));
      }
      progress_.Update(static_cast<int64_t>(i) + 1, block);
    }
    WANLITE_RETURN_IF_ERROR(Named(stage_.Flush()));
    progress_.End();
    return absl::OkStatus();
  }

  const Pass& pass_;
  const std::string label_;
  const PassContext& context_;
  ProgressSink& progress_;
  Stage& stage_;
  absl::Status publishing_;
  BackgroundWork reading_;
  bool resumed_ = false;
  std::set<std::string> restructured_;  // components
};

}  // namespace

absl::StatusOr<PassOutcome> RunPass(const RecipeStage& recipe_stage, const PassContext& context,
                                    Stage& stage) {
  return PassRunner(recipe_stage, context, stage).Run();
}

}  // namespace wanlite
