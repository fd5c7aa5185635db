// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The method MODEL of the pass recover: one component after the other is trained as a whole.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/block_steps.h"
#include "src/pruning/recover.h"
#include "src/train/component_training.h"
#include "src/train/held_out.h"
#include "src/train/loop_options.h"
#include "src/train/sample_data.h"
#include "src/train/teacher_stream.h"
#include "wanlite/model_library.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"

namespace wanlite {
namespace {

using google::protobuf::Message;
using train::VelocityObjective;

enum RecoverModelStream : uint64_t { kRecoverModelOrder = 1 };

const BlockSteps& StepsOf(const std::vector<BlockSteps>& all, const std::string& block) {
  return *std::find_if(all.begin(), all.end(),
                       [&](const BlockSteps& steps) { return steps.block == block; });
}

// What each block of the student gives, beside what the teacher's gives before the next block that
// the student still has. weight: of all together.
absl::StatusOr<std::vector<train::FeatureMatch>> MatchFeatures(const ModelView& model,
                                                               const ModelView& teacher,
                                                               const std::string& component,
                                                               double weight) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<train::BlockPair> pairs,
                           train::PairBlocks(model, teacher, component));
  const std::vector<BlockSteps> own = BlockStepsOf(*model.FindComponent(component));
  const std::vector<BlockSteps> others = BlockStepsOf(*teacher.FindComponent(component));
  std::vector<train::FeatureMatch> matches;
  for (const train::BlockPair& pair : pairs) {
    const BlockSteps& steps = StepsOf(own, pair.student);
    for (const std::string& value : steps.changes) {
      matches.push_back({value, steps.end - 1, StepsOf(others, pair.last).end - 1, 0});
    }
  }
  for (train::FeatureMatch& match : matches) {
    match.weight = weight / static_cast<double>(matches.size());
  }
  return matches;
}

class RecoverModel : public ModelPass {
 public:
  explicit RecoverModel(RecoverOptions options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "recover"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kRecovers; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    return RecoveredComponents(model, options_);
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    WANLITE_RETURN_IF_ERROR(train::CheckTrainPatterns(model, wanted, TrainPatterns()));
    PassNotes plan;
    const int64_t per_value = train::TrainingBytesPerValue(loop(), taught());
    int64_t stored = 0;
    for (const std::string& component : wanted) {
      int64_t values = 0;
      for (const NamedTensor& named : model.Tensors()) {
        if (model.ComponentOf(named.name).name == component) values += named.tensor.numel();
      }
      plan.peak_memory_bytes = std::max(plan.peak_memory_bytes, per_value * values);
    }
    for (const NamedTensor& named : model.Tensors()) {
      const std::string& component = model.ComponentOf(named.name).name;
      if (std::find(wanted.begin(), wanted.end(), component) != wanted.end()) {
        stored += named.tensor.nbytes();
      }
    }
    plan.peak_memory_bytes += stored;
    plan.notes.push_back(absl::StrCat(
        "each of ", wanted.size(), " components is trained for ", loop().steps, " steps of ",
        loop().batch, " samples",
        taught() ? "; the teacher is counted as large as the model, and is larger where it was "
                   "pruned"
                 : ""));
    return plan;
  }

  absl::Status RunModel(ModelView& model, const Message*, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    // Before hours go into the first one.
    for (const std::string& component : wanted) {
      const bool trains = options_.train_size() == 0 ||
                          !train::PatternsFor(model, component, TrainPatterns()).empty();
      if (!trains) continue;
      if (context.samples != nullptr && context.samples->size(component) > 0) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("the samples hold no inputs of component '", component, "'"));
    }
    for (size_t i = 0; i < wanted.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(Annotate(RunComponent(model, wanted[i], i, context), wanted[i]));
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Explain(const Message*) const override {
    return {absl::StrCat("the whole network is trained for ", loop().steps, " steps to ",
                         TeacherText(options_))};
  }

 private:
  train::LoopOptions loop() const { return train::LoopOf(options_.loop()); }
  bool taught() const { return options_.teacher() != RecoverOptions::NO_TEACHER; }
  std::vector<std::string> TrainPatterns() const {
    return {options_.train().begin(), options_.train().end()};
  }

  absl::Status RunComponent(ModelView& model, const std::string& component, size_t number,
                            PassContext& context) const {
    train::TensorSelector selector;
    selector.components = {component};
    selector.muon = options_.loop().muon();
    selector.include = train::PatternsFor(model, component, TrainPatterns());
    if (selector.include.empty() && options_.train_size() > 0) return absl::OkStatus();
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, name()));
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> all,
                             train::OpenSampleData(*context.samples, component));
    if (options_.data() > 0) WANLITE_RETURN_IF_ERROR(CheckTargets(*all));
    const train::SampleSplit split = train::SplitSamples(*context.samples, component);
    const train::DataSubset data(*all, split.trained);
    const train::DataSubset held(*all, split.held);
    const Dataset& judged = held.size() > 0 ? static_cast<const Dataset&>(held) : data;

    train::Identity identity;
    std::optional<ModelView> teacher;
    train::VelocityOptions velocity;
    if (taught()) {
      const std::string ref = TeacherRef(options_);
      WANLITE_ASSIGN_OR_RETURN(teacher, train::OpenTeacher(context, name(), ref, component));
      if (options_.features() > 0) {
        WANLITE_ASSIGN_OR_RETURN(velocity.mix.features,
                                 MatchFeatures(model, *teacher, component, options_.features()));
      }
      WANLITE_RETURN_IF_ERROR(train::LoadTeacher(*teacher));
      WANLITE_ASSIGN_OR_RETURN(identity["teacher"], context.models->Fingerprint(ref));
    }
    velocity.mix.data = options_.data();
    velocity.mix.teacher = options_.output();
    velocity.batch = options_.loop().batch();
    velocity.seed = MixSeed(context.seed, {kRecoverModelOrder, number});
    velocity.recompute = options_.recompute();
    velocity.features_after = options_.features_after();

    WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters,
                             train::MasterWeights::Of(model, component));
    const Component& student = *model.FindComponent(component);
    const Component* taught_by = teacher.has_value() ? teacher->FindComponent(component) : nullptr;
    const double before = train::OutputError(student, taught_by, judged);
    WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> tensors,
                             train::TrainableTensors(model, selector));
    const train::TrainedAlone alone(model, component, tensors);
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<VelocityObjective> objective,
        VelocityObjective::Create(student, std::move(tensors), taught_by, data, velocity));
    train::TrainRun run;
    run.env = context.env;
    run.what = component;
    run.state_dir = JoinPath(scratch, absl::StrCat(component, ".state"));
    run.identity = objective->identity();
    run.identity.insert(identity.begin(), identity.end());
    run.group = context.group;
    run.progress = context.progress;
    run.cancel = context.cancel;
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                             train::Train(loop(), *objective, run));
    // Of the run as a whole: what a killed and continued one did is the same. The loss is not, as
    // it is the mean of the last steps of this call.
    context.metrics[component + ".steps"] = static_cast<double>(report.steps);
    context.metrics[component + ".skipped_steps"] = static_cast<double>(report.skipped);
    context.metrics[component + ".held_samples"] = static_cast<double>(held.size());
    context.metrics[component + ".error_before"] = before;
    context.metrics[component + ".error_after"] = train::OutputError(student, taught_by, judged);
    return masters.Restore();
  }

  static absl::Status CheckTargets(const Dataset& data) {
    WANLITE_ASSIGN_OR_RETURN(const Values first, data.Read(0, 0));
    if (first.contains(kTargetValue)) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("data has a part in the loss, but the samples hold no value \"", kTargetValue,
                     "\"; wanlite record --clips makes samples that do"));
  }

  const RecoverOptions options_;
};

}  // namespace

std::unique_ptr<Pass> MakeRecoverModel(RecoverOptions options) {
  return std::make_unique<RecoverModel>(std::move(options));
}

}  // namespace wanlite
