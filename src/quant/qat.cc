// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/qat.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/core/random.h"
#include "src/model/tensor_text.h"
#include "src/proto/quant.pb.h"
#include "src/quant/decaying_branch.h"
#include "src/quant/weight_quantizer.h"
#include "src/train/component_training.h"
#include "src/train/loop_options.h"
#include "src/train/sample_data.h"
#include "wanlite/model_library.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using google::protobuf::Message;
using train::VelocityObjective;

enum QatStream : uint64_t { kQatOrder = 1 };
constexpr char kFakeFormat[] = "fake_quant";

class QatPass : public ModelPass {
 public:
  // options: resolved.
  QatPass(const QatOptions& options, std::unique_ptr<WeightQuantizer> quantizer)
      : options_(options),
        linears_(FilterOf(options.linears())),
        quantizer_(std::move(quantizer)),
        format_text_(ResolvedText(options.format())) {}

  absl::string_view name() const override { return "qat"; }
  const Message& options() const override { return options_; }
  bool needs_samples() const override { return options_.has_loop(); }
  PassEffect effect() const override {
    return options_.has_loop() ? PassEffect::kRecovers : PassEffect::kNeutral;
  }

  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    std::vector<std::string> names;
    for (const LinearInfo& linear : selection.linears) {
      const std::string& component = model.ComponentOf(linear.path).name;
      if (std::find(names.begin(), names.end(), component) == names.end()) {
        names.push_back(component);
      }
    }
    return names;
  }

  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    return components(model);
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    PassNotes plan;
    plan.notes = selection.notes;
    std::vector<std::pair<int64_t, int64_t>> shapes;
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LinearWeight> fake, Fake(model, linear));
      shapes.emplace_back(fake->out_features(), fake->in_features());
      const int64_t rank = options_.helper().rank();
      if (rank >= std::min(fake->out_features(), fake->in_features())) {
        return OptionError("helper.rank",
                           absl::StrCat(rank, " is no less than the sizes of ", linear.path));
      }
    }
    for (std::string& note : quantizer_->Notes(shapes)) plan.notes.push_back(std::move(note));
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    WANLITE_RETURN_IF_ERROR(train::CheckTrainPatterns(model, wanted, TrainPatterns()));
    int64_t stored = 0;
    for (const std::string& name : wanted) {
      int64_t values = 0;
      for (const NamedTensor& named : model.Tensors()) {
        if (model.ComponentOf(named.name).name != name) continue;
        values += named.tensor.numel();
        stored += named.tensor.nbytes();
      }
      int64_t memory = 4 * values;  // fp32 weights alone
      if (options_.has_loop()) {
        train::TrainingPlan training;
        training.loop = train::LoopOf(options_.loop());
        training.muon = options_.loop().muon();
        training.recompute = options_.recompute();
        training.patterns = train::PatternsFor(model, name, TrainPatterns());
        training.teacher = TeacherRef();
        plan.trainings.push_back(train::NoteTraining(model, name, training));
        memory = train::MemoryOf(plan.trainings.back());
      }
      plan.peak_memory_bytes = std::max(plan.peak_memory_bytes, memory);
    }
    plan.peak_memory_bytes += stored;
    return plan;
  }

  absl::Status ApplyPlan(ModelView& hollow, const Message*) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(hollow, linears_));
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> weight, Fake(hollow, linear));
      if (!options_.keep_fake()) {
        WANLITE_ASSIGN_OR_RETURN(weight, weight->Merge());
      }
      WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(linear.path, std::move(weight)));
    }
    return absl::OkStatus();
  }

  absl::Status RunModel(ModelView& model, const Message*, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    for (size_t i = 0; i < wanted.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(Annotate(RunComponent(model, wanted[i], i, context), wanted[i]));
    }
    return absl::OkStatus();
  }

 private:
  // The layer's weight as it trains; over the same tensors.
  absl::StatusOr<std::unique_ptr<LinearWeight>> Fake(const ModelView& model,
                                                     const LinearInfo& linear) const {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    if (weight->format() != kFakeFormat) {
      WANLITE_RETURN_IF_ERROR(DenseWeightOf(model, linear.path).status());
    }
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> shared, weight->Share());
    if (weight->format() == kFakeFormat) {
      // Of an earlier run that kept it: it goes on as it is, if that is what is asked for.
      WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LinearWeight> merged, shared->Merge());
      const std::unique_ptr<LinearWeight> real =
          quantizer_->Hollow(weight->out_features(), weight->in_features());
      const auto shapes = [](const LinearWeight& of) {
        std::string text;
        for (const WeightTensor& state : of.State()) {
          absl::StrAppend(&text, state.name, " ", TensorText(state.tensor), " ");
        }
        return text;
      };
      if (merged->format() != real->format() || merged->attributes() != real->attributes() ||
          shapes(*merged) != shapes(*real)) {
        return absl::InvalidArgumentError(
            absl::StrCat(linear.path, " is trained for ", std::string(merged->format()), " ",
                         merged->attributes(), " already, the recipe asks for ",
                         std::string(real->format()), " ", real->attributes()));
      }
      return shared;
    }
    auto fake = MakeFakeQuantWeight(std::move(shared), format_text_, options_.learned_scale());
    if (!fake.ok()) return Annotate(fake.status(), absl::StrCat(linear.path, ".weight"));
    return fake;
  }

  // Those of one component.
  absl::StatusOr<std::vector<LinearInfo>> LinearsOf(const ModelView& model,
                                                    const std::string& component) const {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    std::vector<LinearInfo> linears;
    for (const LinearInfo& linear : selection.linears) {
      if (model.ComponentOf(linear.path).name == component) linears.push_back(linear);
    }
    return linears;
  }

  absl::Status RunComponent(ModelView& model, const std::string& component, size_t number,
                            PassContext& context) const {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<LinearInfo> linears, LinearsOf(model, component));
    WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters,
                             train::MasterWeights::Of(model, component));
    for (const LinearInfo& linear : linears) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> fake, Fake(model, linear));
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear.path, std::move(fake)));
    }
    if (options_.has_loop()) {
      WANLITE_RETURN_IF_ERROR(TrainComponent(model, component, number, linears, context));
    }
    // From the trained values, before they are brought back to the dtype they are stored in.
    for (const LinearInfo& linear : linears) {
      if (options_.keep_fake()) break;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      absl::StatusOr<std::unique_ptr<LinearWeight>> real = weight->Merge();
      if (!real.ok()) return Annotate(real.status(), linear.path);
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear.path, *std::move(real)));
    }
    context.metrics["trained_layers"] += static_cast<double>(linears.size());
    return masters.Restore();
  }

  // A model that is rounded as the student is has nothing to teach it.
  static absl::Status CheckTeacher(const ModelView& teacher) {
    for (const LinearInfo& linear : teacher.linears()) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, teacher.Weight(linear.path));
      if (weight->format() != kFakeFormat) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("the teacher's layer ", linear.path,
                       " is under fake quantization itself; name the full-precision model by "
                       "teacher_path"));
    }
    return absl::OkStatus();
  }

  // Empty without a teacher.
  std::string TeacherRef() const {
    if (options_.teacher() == QatOptions::NO_TEACHER) return "";
    return train::TeacherRef(options_.teacher_path(), options_.teacher() == QatOptions::BEFORE);
  }

  std::vector<std::string> TrainPatterns() const {
    return {options_.train().begin(), options_.train().end()};
  }

  absl::Status TrainComponent(ModelView& model, const std::string& component, size_t number,
                              const std::vector<LinearInfo>& linears, PassContext& context) const {
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, name()));
    if (context.samples == nullptr) {
      return absl::FailedPreconditionError(
          "qat needs recorded inputs (wanlite compress --samples)");
    }
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> data,
                             train::OpenSampleData(*context.samples, component));
    train::Identity identity = {{"format", quantizer_->name()}};
    std::optional<ModelView> teacher;
    if (options_.teacher() != QatOptions::NO_TEACHER) {
      const std::string ref = TeacherRef();
      WANLITE_ASSIGN_OR_RETURN(teacher, train::OpenTeacher(context, name(), ref, component));
      WANLITE_RETURN_IF_ERROR(CheckTeacher(*teacher));
      WANLITE_RETURN_IF_ERROR(train::LoadTeacher(*teacher));
      WANLITE_ASSIGN_OR_RETURN(identity["teacher"], context.models->Fingerprint(ref));
    } else {
      WANLITE_ASSIGN_OR_RETURN(const Values first, data->Read(0, 0));
      if (!first.contains(kTargetValue)) {
        return absl::FailedPreconditionError(absl::StrCat(
            "teacher: NO_TEACHER, but the samples hold no value \"", kTargetValue, "\""));
      }
    }
    const Component& student = *model.FindComponent(component);
    const Component* taught_by = teacher.has_value() ? teacher->FindComponent(component) : nullptr;
    context.metrics[component + ".error_before"] = train::OutputError(student, taught_by, *data);

    const train::LoopOptions loop = train::LoopOf(options_.loop());
    std::vector<DecayPhase> phases = {{0, 0, 0, loop.steps}};
    if (options_.has_helper()) {
      WANLITE_ASSIGN_OR_RETURN(
          phases, DecayPhases(options_.helper().rank(), options_.helper().phases(), loop.steps));
    }
    const auto gate = std::make_shared<FadingGate>(1.0f);
    train::VelocityOptions velocity;
    velocity.batch = options_.loop().batch();
    velocity.mix.data = teacher.has_value() ? 0 : 1;
    velocity.mix.teacher = teacher.has_value() ? 1 : 0;
    velocity.recompute = options_.recompute();
    int64_t steps = 0, skipped = 0;
    for (size_t i = 0; i < phases.size(); ++i) {
      const DecayPhase& phase = phases[i];
      if (phase.rank > 0) WANLITE_RETURN_IF_ERROR(SetHelpers(model, linears, phase, gate));
      velocity.seed = MixSeed(context.seed, {kQatOrder, number, i});
      WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> tensors,
                               Trained(model, component));
      const train::TrainedAlone alone(model, component, tensors);
      WANLITE_ASSIGN_OR_RETURN(
          const std::unique_ptr<VelocityObjective> objective,
          VelocityObjective::Create(student, std::move(tensors), taught_by, *data, velocity));
      DecayingObjective decaying(*objective, phase, *gate);
      train::TrainRun run;
      run.env = context.env;
      run.what = phases.size() == 1
                     ? component
                     : absl::StrCat(component, ", phase ", i + 1, " of ", phases.size());
      run.state_dir = JoinPath(scratch, absl::StrCat(component, ".", i + 1, ".state"));
      run.identity = objective->identity();
      run.identity.insert(identity.begin(), identity.end());
      run.identity["phase"] = absl::StrCat(phase.rank, " to ", phase.kept, " ranks");
      run.group = context.group;
      run.progress = context.progress;
      run.cancel = context.cancel;
      WANLITE_ASSIGN_OR_RETURN(
          const train::TrainReport report,
          train::Train(phase.rank > 0 ? LoopOfPhase(loop, phase) : loop,
                       phase.rank > 0 ? static_cast<train::Objective&>(decaying) : *objective,
                       run));
      steps += report.steps;
      skipped += report.skipped;
    }
    WANLITE_RETURN_IF_ERROR(DropHelpers(model, linears));
    // Of the run as a whole: what a killed and continued one did is the same.
    context.metrics[component + ".steps"] = static_cast<double>(steps);
    context.metrics[component + ".skipped_steps"] = static_cast<double>(skipped);
    context.metrics[component + ".error_after"] = train::OutputError(student, taught_by, *data);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<train::TrainedTensor>> Trained(const ModelView& model,
                                                            const std::string& component) const {
    train::TensorSelector selector;
    selector.components = {component};
    selector.muon = options_.loop().muon();
    selector.scale_rate = options_.scale_rate();
    selector.include = train::PatternsFor(model, component, TrainPatterns());
    if (options_.train_size() > 0 && options_.has_helper()) {
      selector.include.push_back("*.helper_a");
      selector.include.push_back("*.helper_b");
    }
    return train::TrainableTensors(model, selector);
  }

  // Gives each layer the helper that the phase begins with.
  static absl::Status SetHelpers(ModelView& model, const std::vector<LinearInfo>& linears,
                                 const DecayPhase& phase, const std::shared_ptr<FadingGate>& gate) {
    for (const LinearInfo& linear : linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      std::unique_ptr<HelpedWeight> helped;
      if (const auto* before = dynamic_cast<const HelpedWeight*>(weight)) {
        WANLITE_ASSIGN_OR_RETURN(helped, before->Cut(phase.rank, phase.kept));
      } else {
        WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, weight->Share());
        WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix,
                                 model.FindTensor(absl::StrCat(linear.path, ".weight")));
        helped = HelpedWeight::Begin(std::move(base),
                                     matrix.detach().to(at::kFloat) - weight->Dequantize(),
                                     phase.rank, phase.kept, gate);
      }
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear.path, std::move(helped)));
    }
    return absl::OkStatus();
  }

  static absl::Status DropHelpers(ModelView& model, const std::vector<LinearInfo>& linears) {
    for (const LinearInfo& linear : linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      const auto* helped = dynamic_cast<const HelpedWeight*>(weight);
      if (helped == nullptr) continue;
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, helped->base().Share());
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear.path, std::move(base)));
    }
    return absl::OkStatus();
  }

  const QatOptions options_;
  const LinearFilter linears_;
  const std::unique_ptr<WeightQuantizer> quantizer_;
  const std::string format_text_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeQat(const QatOptions& options) {
  QatOptions resolved = options;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> quantizer,
                           MakeWeightQuantizer(*resolved.mutable_format(), "format"));
  if (!QatOptions::Teacher_IsValid(resolved.teacher())) {
    return OptionError("teacher", absl::StrCat(static_cast<int>(resolved.teacher()),
                                               " is not INPUT, BEFORE or NO_TEACHER"));
  }
  if (!resolved.teacher_path().empty() && resolved.teacher() != QatOptions::INPUT) {
    return OptionError("teacher_path", "is in place of INPUT; leave out teacher");
  }
  if (!resolved.has_loop()) {
    if (!resolved.keep_fake()) {
      return OptionError("loop", "is missing; only with keep_fake nothing is trained");
    }
    if (resolved.has_helper()) return OptionError("helper", "nothing is trained without a loop");
  } else {
    WANLITE_RETURN_IF_ERROR(CheckLoopOptions(train::LoopOf(resolved.loop()), "loop"));
  }
  if (!resolved.has_scale_rate()) resolved.set_scale_rate(0.1);
  if (!(resolved.scale_rate() >= 0 && resolved.scale_rate() <= 1000)) {
    return OptionError("scale_rate", absl::StrCat(resolved.scale_rate(), " is not in [0, 1000]"));
  }
  if (resolved.has_helper()) {
    DecayingBranch& helper = *resolved.mutable_helper();
    if (helper.rank() < 1) {
      return OptionError("helper.rank", absl::StrCat(helper.rank(), " is not at least 1"));
    }
    if (helper.has_phases() && helper.phases() < 1) {
      return OptionError("helper.phases", absl::StrCat(helper.phases(), " is not at least 1"));
    }
    absl::StatusOr<std::vector<DecayPhase>> phases =
        DecayPhases(helper.rank(), helper.phases(), resolved.loop().steps());
    if (!phases.ok()) return OptionError("helper.phases", phases.status().message());
    helper.set_phases(static_cast<int64_t>(phases->size()));
    if (resolved.loop().warmup_steps() > phases->front().steps) {
      return OptionError("loop.warmup_steps",
                         absl::StrCat(resolved.loop().warmup_steps(), " is beyond the ",
                                      phases->front().steps, " steps of the helper's first phase"));
    }
  }
  return std::make_unique<QatPass>(resolved, std::move(quantizer));
}

}  // namespace wanlite
