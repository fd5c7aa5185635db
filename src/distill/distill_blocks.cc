// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/distill_blocks.h"

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/train/block_training.h"
#include "src/train/component_training.h"
#include "src/train/loop_options.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

class DistillBlocks : public BlockPass {
 public:
  // options: resolved.
  explicit DistillBlocks(const DistillBlocksOptions& options) : options_(options) {
    training_.pass = "distill-blocks";
    training_.teacher = train::TeacherRef(options.teacher_path(), taught_before());
    training_.loop = train::LoopOf(options.loop());
    training_.muon = options.loop().muon();
    training_.train = {options.train().begin(), options.train().end()};
    training_.components = {options.components().begin(), options.components().end()};
    training_.teacher_inputs = options.inputs() == DistillBlocksOptions::TEACHER;
    training_.outlier_sigma = options.outlier_sigma();
    training_.projection = options.projection();
    training_.projection_rate = options.projection_rate();
    training_.keep_zeros = options.keep_zeros();
  }

  absl::string_view name() const override { return "distill-blocks"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kRecovers; }
  bool needs_samples() const override { return true; }
  std::optional<StreamOptions> activations() const override {
    if (training_.teacher_inputs) return std::nullopt;
    return StreamOptions();
  }
  bool blocks_are_independent() const override { return training_.teacher_inputs; }
  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    return train::BlockTrainedComponents(model, training_);
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(PassNotes plan, train::PlanBlockTraining(model, training_));
    if (blocks_are_independent()) {
      plan.notes.push_back(
          "blocks are independent: the processes of a group share them, and each runs the teacher");
    }
    return plan;
  }
  bool Touches(const ModelView& model, absl::string_view block) const override {
    return train::TrainsBlock(model, block, training_);
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    return train::TrainBlock(model, block, training_, context);
  }
  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    train::FinishBlockMetrics(metrics);
  }
  std::vector<std::string> Explain(const Message*) const override {
    return {absl::StrCat(
        "each block is trained for ", training_.loop.steps, " steps to what the same part of ",
        train::TeacherText(options_.teacher_path(), taught_before()), " gives, on what ",
        training_.teacher_inputs ? "the teacher's blocks" : "the trained blocks",
        " before it make of the recorded inputs")};
  }

 private:
  bool taught_before() const { return options_.teacher() == DistillBlocksOptions::BEFORE; }

  const DistillBlocksOptions options_;
  train::BlockTraining training_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeDistillBlocks(const DistillBlocksOptions& options) {
  DistillBlocksOptions resolved = options;
  if (!DistillBlocksOptions::Teacher_IsValid(resolved.teacher())) {
    return OptionError(
        "teacher", absl::StrCat(static_cast<int>(resolved.teacher()), " is not INPUT or BEFORE"));
  }
  if (!resolved.teacher_path().empty() && resolved.teacher() != DistillBlocksOptions::INPUT) {
    return OptionError("teacher_path", "is in place of INPUT; leave out teacher");
  }
  if (!DistillBlocksOptions::Inputs_IsValid(resolved.inputs())) {
    return OptionError(
        "inputs", absl::StrCat(static_cast<int>(resolved.inputs()), " is not STUDENT or TEACHER"));
  }
  if (!resolved.has_loop())
    return OptionError("loop", "is missing: how long each block is trained");
  WANLITE_RETURN_IF_ERROR(CheckLoopOptions(train::LoopOf(resolved.loop()), "loop"));
  if (resolved.has_outlier_sigma() &&
      !(resolved.outlier_sigma() > 0 && std::isfinite(resolved.outlier_sigma()))) {
    return OptionError("outlier_sigma", absl::StrCat(resolved.outlier_sigma(),
                                                     " is not above 0; without it all "
                                                     "values count"));
  }
  if (resolved.has_projection_rate() && !resolved.projection()) {
    return OptionError("projection_rate", "is of projection alone");
  }
  if (resolved.projection()) {
    if (resolved.inputs() == DistillBlocksOptions::TEACHER) {
      return OptionError("inputs",
                         "TEACHER gives blocks the teacher's values, which are of another width "
                         "where there is a projection");
    }
    // Trained along, it lets the student's channels drift away from what its head reads.
    if (!resolved.has_projection_rate()) resolved.set_projection_rate(0);
    if (!(resolved.projection_rate() >= 0 && std::isfinite(resolved.projection_rate()))) {
      return OptionError("projection_rate",
                         absl::StrCat(resolved.projection_rate(), " is not at least 0"));
    }
  }
  if (!resolved.has_keep_zeros()) resolved.set_keep_zeros(true);
  return std::make_unique<DistillBlocks>(resolved);
}

}  // namespace wanlite
