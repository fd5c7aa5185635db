// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "passes.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "wanlite/block_program.h"
#include "wanlite/linear_tap.h"
#include "wanlite/model_library.h"
#include "wanlite/pass.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"
#include "wanlite/train.h"
#include "wanlite/visit_blocks.h"

namespace {

namespace pb = ::google::protobuf;

// Sums of squares of every input feature of the layers that it taps.
struct Energy : wanlite::LinearTap {
  void OnInput(const wanlite::LinearInfo& linear, const at::Tensor& x) override {
    const at::Tensor squares = x.detach().to(at::kDouble).square().reshape({-1, x.size(-1)}).sum(0);
    at::Tensor& sum = sums[linear.path];
    sum = sum.defined() ? sum + squares : squares;
  }
  std::map<std::string, at::Tensor> sums;  // fp64 [in_features]
};

class PruneByActivation final : public wanlite::BlockPass {
 public:
  explicit PruneByActivation(const pb::DoubleValue& keep) : keep_(keep) {}
  absl::string_view name() const override { return "prune-by-activation"; }
  const pb::Message& options() const override { return keep_; }
  bool needs_samples() const override { return true; }

  // Which units go is decided from values, how many is known before: so the plan is exact.
  absl::StatusOr<wanlite::PassNotes> Plan(const wanlite::ModelView& model) const override {
    if (model.groups().empty()) {
      return absl::InvalidArgumentError("the model declares no axis groups");
    }
    return wanlite::PassNotes();
  }

  // The decision: the units to keep, by group. One block is in memory at a time.
  absl::StatusOr<std::unique_ptr<pb::Message>> Decide(
      wanlite::ModelView& model, wanlite::PassContext& context) const override {
    auto decision = std::make_unique<pb::Struct>();
    Energy energy;
    WANLITE_RETURN_IF_ERROR(wanlite::VisitBlocks(
        model, context, energy, [&](const wanlite::BlockLease& lease) -> absl::Status {
          for (const wanlite::AxisGroup& group : model.groups()) {
            if (group.block != lease.block()) continue;
            WANLITE_ASSIGN_OR_RETURN(const at::Tensor scores, Scores(model, group, energy));
            const at::Tensor best = std::get<1>(scores.topk(Kept(group)));
            const at::Tensor units = std::get<0>(best.sort());
            pb::ListValue& kept = *(*decision->mutable_fields())[group.name].mutable_list_value();
            for (int64_t i = 0; i < units.size(0); ++i) {
              kept.add_values()->set_number_value(units[i].item<double>());
            }
          }
          return absl::OkStatus();
        }));
    return decision;
  }

  absl::Status ApplyPlan(wanlite::ModelView& hollow, const pb::Message* decision) const override {
    const std::vector<wanlite::AxisGroup> groups = hollow.groups();
    for (const wanlite::AxisGroup& group : groups) {
      WANLITE_RETURN_IF_ERROR(hollow.KeepUnits(group.name, Units(group, decision)));
    }
    return absl::OkStatus();
  }

  bool Touches(const wanlite::ModelView& model, absl::string_view block) const override {
    return std::any_of(model.groups().begin(), model.groups().end(),
                       [&](const wanlite::AxisGroup& group) { return group.block == block; });
  }

  absl::Status RunBlock(wanlite::ModelView& model, const wanlite::BlockLease& block,
                        const pb::Message* decision, wanlite::PassContext&) const override {
    const std::vector<wanlite::AxisGroup> groups = model.groups();
    for (const wanlite::AxisGroup& group : groups) {
      if (group.block != block.block()) continue;
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(group.name, Units(group, decision)));
    }
    return absl::OkStatus();
  }

 private:
  int64_t Kept(const wanlite::AxisGroup& group) const {
    return std::max<int64_t>(1, static_cast<int64_t>(keep_.value() * group.units));
  }

  // Before the decision: as many units.
  at::Tensor Units(const wanlite::AxisGroup& group, const pb::Message* decision) const {
    if (decision == nullptr) return at::arange(Kept(group), at::kLong);
    std::vector<int64_t> units;
    for (const pb::Value& unit :
         static_cast<const pb::Struct*>(decision)->fields().at(group.name).list_value().values()) {
      units.push_back(static_cast<int64_t>(unit.number_value()));
    }
    return at::tensor(units, at::kLong);
  }

  // fp64 [units]: over the linears whose columns are the group's units.
  static absl::StatusOr<at::Tensor> Scores(const wanlite::ModelView& model,
                                           const wanlite::AxisGroup& group, const Energy& energy) {
    at::Tensor scores = at::zeros({group.units}, at::kDouble);
    for (const wanlite::AxisRef& ref : group.refs) {
      if (ref.dim != 1 || model.FindLinear(ref.tensor) == nullptr) continue;
      WANLITE_ASSIGN_OR_RETURN(const wanlite::LinearWeight* weight, model.Weight(ref.tensor));
      const at::Tensor columns =
          at::linalg_vector_norm(weight->Dequantize().to(at::kDouble), 2, at::IntArrayRef{0});
      const at::Tensor sent = energy.sums.at(ref.tensor).sqrt() * columns;
      scores += sent.reshape({group.units, ref.repeat}).square().sum(1).sqrt();
    }
    return scores;
  }

  pb::DoubleValue keep_;
};

// The mean squared error between the two models' outputs on a recorded sample.
class ToTeacher final : public wanlite::train::Objective {
 public:
  ToTeacher(const wanlite::ModelView& student, const wanlite::ModelView& teacher,
            const wanlite::SampleSet& samples)
      : view_(student), samples_(samples) {
    for (const wanlite::Component& component : student.components()) {
      const wanlite::BlockProgram* program = wanlite::ProgramOf(component);
      if (program == nullptr || samples.size(component.name) == 0) continue;
      pairs_.push_back(
          {component.name, program, wanlite::ProgramOf(*teacher.FindComponent(component.name))});
    }
  }

  std::vector<wanlite::train::TrainedTensor> Parameters() override {
    auto tensors = wanlite::train::TrainableTensors(view_, {});
    return tensors.ok() ? *std::move(tensors) : std::vector<wanlite::train::TrainedTensor>();
  }

  Terms Loss(int64_t step, int part, int parts) override {
    at::Tensor total = at::zeros({});
    for (const auto& [name, student, teacher] : pairs_) {
      const auto values = samples_.Read(name, (step * parts + part) % samples_.size(name));
      TORCH_CHECK(values.ok(), values.status().ToString());
      at::Tensor wanted;
      {
        const at::NoGradGuard no_grad;
        wanted = teacher->Run(*values);
      }
      total = total + at::mse_loss(student->Run(*values), wanted);
    }
    return {total, {{"output", total.item<double>()}}};
  }

 private:
  struct Pair {
    std::string name;
    const wanlite::BlockProgram *student, *teacher;
  };
  const wanlite::ModelView& view_;
  const wanlite::SampleSet& samples_;
  std::vector<Pair> pairs_;
};

class Distil final : public wanlite::ModelPass {
 public:
  explicit Distil(const pb::Int64Value& steps) : steps_(steps) {}
  absl::string_view name() const override { return "distil"; }
  const pb::Message& options() const override { return steps_; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<wanlite::PassNotes> Plan(const wanlite::ModelView&) const override {
    wanlite::PassNotes notes;
    notes.notes.push_back(absl::StrCat("trains for ", steps_.value(), " steps"));
    return notes;
  }

  // Killed, it goes on from the last state in the stage's folder: the same steps, the same bytes.
  absl::Status RunModel(wanlite::ModelView& model, const pb::Message*,
                        wanlite::PassContext& context) const override {
    if (context.models == nullptr) {  // a run in memory that was given none
      return absl::FailedPreconditionError("a library of models is needed");
    }
    WANLITE_ASSIGN_OR_RETURN(wanlite::ModelView teacher, context.models->Open("input", {}));
    WANLITE_RETURN_IF_ERROR(teacher.LoadAll());
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, wanlite::ScratchOf(context, name()));
    WANLITE_ASSIGN_OR_RETURN(const std::string taught, context.models->Fingerprint("input"));

    wanlite::train::LoopOptions loop;
    loop.steps = steps_.value();
    loop.learning_rate = 1e-3;
    loop.final_rate_ratio = 0.1;
    loop.state_every = 20;
    wanlite::train::TrainRun run;
    run.env = context.env;
    run.what = "distil";
    run.state_dir = wanlite::JoinPath(scratch, "state");
    run.identity = {{"samples", context.samples->fingerprint()}, {"teacher", taught}};
    run.group = context.group;
    run.progress = context.progress;
    run.cancel = context.cancel;
    ToTeacher objective(model, teacher, *context.samples);
    WANLITE_ASSIGN_OR_RETURN(const wanlite::train::TrainReport report,
                             wanlite::train::Train(loop, objective, run));
    context.metrics["steps"] = static_cast<double>(report.steps);
    return absl::OkStatus();
  }

 private:
  pb::Int64Value steps_;
};

absl::StatusOr<std::unique_ptr<wanlite::Pass>> MakePruneByActivation(const pb::DoubleValue& keep) {
  if (keep.value() > 0 && keep.value() <= 1) return std::make_unique<PruneByActivation>(keep);
  return wanlite::OptionError("value", absl::StrCat(keep.value(), " is not in (0, 1]"));
}

absl::StatusOr<std::unique_ptr<wanlite::Pass>> MakeDistil(const pb::Int64Value& steps) {
  if (steps.value() >= 1) return std::make_unique<Distil>(steps);
  return wanlite::OptionError("value", absl::StrCat(steps.value(), " is less than 1"));
}

}  // namespace

absl::Status RegisterOwnPasses(wanlite::PassRegistry& registry) {
  WANLITE_RETURN_IF_ERROR(wanlite::RegisterPass<pb::DoubleValue>(registry, MakePruneByActivation));
  return wanlite::RegisterPass<pb::Int64Value>(registry, MakeDistil);
}
