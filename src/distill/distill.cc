// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/distill.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/distill/distill_samples.h"
#include "src/distill/objective.h"
#include "src/distill/teacher.h"
#include "src/distill/value_pairs.h"
#include "src/train/component_training.h"
#include "src/train/held_zeros.h"
#include "src/train/loop_options.h"
#include "src/train/training_log.h"
#include "wanlite/alignment.h"
#include "wanlite/model_library.h"
#include "wanlite/process_group.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using distill::DistillObjective;
using distill::DistillSamples;
using distill::ObjectiveTerm;
using google::protobuf::Message;

enum DistillPassStream : uint64_t { kDistillOrder = 1 };

// The pairs of a term, and the field that holds them; null for terms without.
const distill::ValuePairs* PairsOf(const LossTerm& term, std::string& field) {
  switch (term.term_case()) {
    case LossTerm::kKl:
      field = "kl.pairs";
      return &term.kl().pairs();
    case LossTerm::kFeatures:
      field = "features.pairs";
      return &term.features().pairs();
    case LossTerm::kRelation:
      field = "relation.pairs";
      return &term.relation().pairs();
    default:
      return nullptr;
  }
}

// A term compares values inside the networks: the given ones, or, of some kinds, all.
bool ComparesValues(const LossTerm& term) {
  return term.has_features() || term.has_relation() ||
         (term.has_kl() && !term.kl().pairs().empty());
}

bool HasClip(const DistillOptions& options) {
  return std::any_of(options.terms().begin(), options.terms().end(),
                     [](const LossTerm& term) { return term.has_clip(); });
}

std::string TeacherOf(const DistillOptions& options) {
  return train::TeacherRef(options.teacher_path(), options.teacher() == DistillOptions::BEFORE);
}

std::string TeacherWords(const DistillOptions& options) {
  if (options.teacher_path().empty() && options.teacher() == DistillOptions::NO_TEACHER) {
    return "the targets of the samples";
  }
  return train::TeacherText(options.teacher_path(), options.teacher() == DistillOptions::BEFORE);
}

// Tensors of one component to a device; the live ones, whoever holds them.
void MoveComponent(const ModelView& model, const std::string& component, const at::Device& device) {
  const at::NoGradGuard no_grad;
  for (const NamedTensor& named : model.Tensors()) {
    if (model.ComponentOf(named.name).name != component || named.tensor.device() == device)
      continue;
    named.tensor.set_data(named.tensor.detach().to(device));
  }
}

// The model's autoencoder, in memory, and what decodes by it.
struct Decoder {
  std::optional<ModelView> model;
  const LatentDecoder* decoder = nullptr;
};

absl::StatusOr<Decoder> OpenDecoder(const PassContext& context) {
  WANLITE_ASSIGN_OR_RETURN(const ModelView all, context.models->Open("input", {}));
  for (const Component& component : all.components()) {
    if (component.role != ComponentRole::kAutoencoder) continue;
    Decoder opened;
    WANLITE_ASSIGN_OR_RETURN(opened.model, context.models->Open("input", {component.name}));
    WANLITE_RETURN_IF_ERROR(train::LoadTeacher(*opened.model));
    WANLITE_RETURN_IF_ERROR(opened.model->To(context.device));
    for (const NamedTensor& named : opened.model->Tensors()) {
      if (named.tensor.is_floating_point()) named.tensor.set_requires_grad(false);
    }
    opened.decoder = dynamic_cast<const LatentDecoder*>(
        opened.model->FindComponent(component.name)->module.get());
    if (opened.decoder != nullptr) return opened;
    return absl::UnimplementedError(absl::StrCat("the autoencoder '", component.name,
                                                 "' of architecture ", component.architecture,
                                                 " has no decoder that gradients pass through"));
  }
  return absl::FailedPreconditionError(
      "a clip term decodes what the student makes, and the model has no autoencoder");
}

class DistillPass : public ModelPass {
 public:
  DistillPass(std::string name, std::unique_ptr<Message> message, DistillOptions options)
      : name_(std::move(name)), message_(std::move(message)), options_(std::move(options)) {}

  absl::string_view name() const override { return name_; }
  const Message& options() const override { return *message_; }
  PassEffect effect() const override { return PassEffect::kRecovers; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    return train::TrainedComponents(model,
                                    {options_.components().begin(), options_.components().end()});
  }

  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    std::vector<std::string> names;
    for (const std::string& component : wanted) {
      if (!Trains(model, component)) continue;
      for (std::string& name : TeachersOf(component)) names.push_back(std::move(name));
    }
    return names;
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    WANLITE_RETURN_IF_ERROR(CheckTeachers(wanted));
    WANLITE_RETURN_IF_ERROR(train::CheckTrainPatterns(model, wanted, TrainPatterns()));
    PassNotes plan;
    for (int i = 0; i < options_.terms_size(); ++i) {
      const LossTerm& term = options_.terms(i);
      std::string field;
      const distill::ValuePairs* pairs = PairsOf(term, field);
      if (pairs != nullptr) {
        for (const std::string& component : wanted) {
          WANLITE_RETURN_IF_ERROR(distill::CheckPairs(model, component, *pairs,
                                                      absl::StrCat("terms[", i, "].", field)));
        }
      }
      if (term.has_kl() && term.kl().pairs().empty()) {
        plan.notes.push_back(absl::StrCat(
            term.name(),
            ": softmax over the last axis of a velocity, which is no distribution: "
            "it sees no constant added to a row and forgets amplitudes. Beside a squared error "
            "it only adds weight to where a row is largest"));
      }
    }
    const bool in_memory = taught() && !options_.cache();
    int64_t stored = 0;
    for (const std::string& component : wanted) {
      if (!Trains(model, component)) continue;
      train::TrainingPlan training;
      training.loop = loop();
      training.muon = options_.loop().muon();
      training.recompute = options_.recompute();
      training.patterns = train::PatternsFor(model, component, TrainPatterns());
      if (in_memory) training.teacher = TeacherOf(options_);
      plan.trainings.push_back(train::NoteTraining(model, component, training));
      plan.peak_memory_bytes =
          std::max(plan.peak_memory_bytes, train::MemoryOf(plan.trainings.back()));
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
        in_memory ? "; the teacher is counted as large as the model, and is larger where it was "
                    "pruned"
                  : ""));
    if (HasClip(options_)) {
      plan.notes.push_back("what the decoder keeps for the gradients of clip terms is not counted");
    }
    if (taught() && options_.cache()) {
      plan.notes.push_back(
          "what the teacher gives for every sample is kept on the disk while the pass runs");
    }
    return plan;
  }

  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView&, PassContext& context) const override {
    if (!HasClip(options_)) return std::unique_ptr<Message>();
    if (context.alignment == nullptr) {
      return absl::FailedPreconditionError(
          "a clip term wants a text-video encoder (wanlite compress --clip)");
    }
    if (context.models == nullptr) {
      return absl::FailedPreconditionError("a clip term runs over folders alone");
    }
    auto decision = std::make_unique<DistillDecision>();
    decision->set_encoder(context.alignment->name());
    decision->set_encoder_fingerprint(context.alignment->fingerprint());
    return decision;
  }

  absl::Status RunModel(ModelView& model, const Message*, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    WANLITE_RETURN_IF_ERROR(CheckTeachers(wanted));
    Decoder decoder;
    if (HasClip(options_)) {
      if (context.alignment == nullptr || context.models == nullptr) {
        return absl::FailedPreconditionError("a clip term wants a text-video encoder and a folder");
      }
      WANLITE_ASSIGN_OR_RETURN(decoder, OpenDecoder(context));
    }
    std::unique_ptr<distill::OutputReader> reader;
    for (const LossTerm& term : options_.terms()) {
      if (!term.has_projected()) continue;
      WANLITE_ASSIGN_OR_RETURN(reader, distill::OutputReader::Open(context, term.projected()));
    }
    const distill::ObjectiveTools tools = {context.alignment, decoder.decoder, reader.get()};
    for (size_t i = 0; i < wanted.size(); ++i) {
      WANLITE_RETURN_IF_ERROR(
          Annotate(RunComponent(model, wanted[i], i, tools, context), wanted[i]));
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Explain(const Message* decision) const override {
    std::vector<std::string> lines = {absl::StrCat(
        "the whole network is trained for ", loop().steps, " steps to ", TeacherWords(options_))};
    if (const auto* found = dynamic_cast<const DistillDecision*>(decision)) {
      lines.push_back(absl::StrCat("clips and captions are embedded by ", found->encoder(), " (",
                                   found->encoder_fingerprint(), ")"));
    }
    return lines;
  }

 private:
  train::LoopOptions loop() const { return train::LoopOf(options_.loop()); }
  bool taught() const { return options_.teacher() != DistillOptions::NO_TEACHER; }
  std::vector<std::string> TrainPatterns() const {
    return {options_.train().begin(), options_.train().end()};
  }
  bool Trains(const ModelView& model, const std::string& component) const {
    return options_.train_size() == 0 ||
           !train::PatternsFor(model, component, TrainPatterns()).empty();
  }
  // Components that teach this one, whose samples it learns from.
  std::vector<std::string> TeachersOf(const std::string& component) const {
    if (options_.teacher_components().empty()) return {component};
    return {options_.teacher_components().begin(), options_.teacher_components().end()};
  }

  absl::Status CheckTeachers(const std::vector<std::string>& students) const {
    if (options_.teacher_components().empty() || students.size() == 1) return absl::OkStatus();
    return OptionError("teacher_components",
                       absl::StrCat("are for one student, here are ", absl::StrJoin(students, ", "),
                                    "; name it by components"));
  }

  absl::StatusOr<std::vector<ObjectiveTerm>> TermsOf(const ModelView& model,
                                                     const std::string& component,
                                                     const ModelView* teacher) const {
    std::vector<ObjectiveTerm> terms;
    for (const LossTerm& term : options_.terms()) {
      ObjectiveTerm& made = terms.emplace_back();
      made.options = term;
      if (teacher == nullptr || !ComparesValues(term)) continue;
      std::string field;
      WANLITE_ASSIGN_OR_RETURN(
          made.pairs, distill::MatchValues(model, component, *teacher, TeachersOf(component),
                                           *PairsOf(term, field)));
    }
    return terms;
  }

  absl::Status RunComponent(ModelView& model, const std::string& component, size_t number,
                            const distill::ObjectiveTools& tools, PassContext& context) const {
    train::TensorSelector selector;
    selector.components = {component};
    selector.muon = options_.loop().muon();
    selector.include = train::PatternsFor(model, component, TrainPatterns());
    if (!Trains(model, component)) return absl::OkStatus();
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, name()));
    const std::vector<std::string> teachers = TeachersOf(component);
    WANLITE_ASSIGN_OR_RETURN(const DistillSamples::Split split,
                             DistillSamples::Open(*context.samples, teachers));

    train::Identity identity;
    std::optional<ModelView> teacher_model;
    std::unique_ptr<distill::Teacher> teacher;
    distill::ObjectiveOptions objective_options;
    if (taught()) {
      const std::string ref = TeacherOf(options_);
      if (context.models == nullptr) {
        return absl::FailedPreconditionError(
            absl::StrCat(name(), " with a teacher runs over folders alone"));
      }
      WANLITE_ASSIGN_OR_RETURN(teacher_model, context.models->Open(ref, teachers));
      WANLITE_ASSIGN_OR_RETURN(objective_options.terms, TermsOf(model, component, &*teacher_model));
      WANLITE_ASSIGN_OR_RETURN(identity["teacher"], context.models->Fingerprint(ref));
      if (!options_.teacher_components().empty()) {
        absl::StrAppend(&identity["teacher"], ": ", absl::StrJoin(teachers, ", "));
      }
      std::vector<distill::TeacherWants> wants =
          distill::WantsOf(objective_options.terms, teachers);
      if (options_.cache()) {
        WANLITE_ASSIGN_OR_RETURN(
            teacher,
            distill::CachedTeacher(context, JoinPath(scratch, absl::StrCat(component, ".targets")),
                                   identity["teacher"], *teacher_model, std::move(wants)));
        absl::StrAppend(&identity["teacher"], ", cached");
        teacher_model.reset();
      } else {
        WANLITE_RETURN_IF_ERROR(train::LoadTeacher(*teacher_model));
        WANLITE_RETURN_IF_ERROR(teacher_model->To(context.device));
        teacher = distill::LiveTeacher(*teacher_model, std::move(wants));
      }
    } else {
      WANLITE_ASSIGN_OR_RETURN(objective_options.terms, TermsOf(model, component, nullptr));
    }
    objective_options.uncertainty = options_.balance() == DistillOptions::UNCERTAINTY;
    objective_options.balance_rate = options_.balance_rate();
    objective_options.batch = options_.loop().batch();
    objective_options.seed = MixSeed(context.seed, {kDistillOrder, number});
    objective_options.recompute = options_.recompute();

    WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters,
                             train::MasterWeights::Of(model, component));
    std::optional<train::HeldZeros> zeros;
    if (options_.keep_zeros()) {
      WANLITE_ASSIGN_OR_RETURN(train::HeldZeros held, train::HeldZeros::Of(model, component));
      zeros.emplace(std::move(held));
    }
    MoveComponent(model, component, context.device);
    WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> tensors,
                             train::TrainableTensors(model, selector));
    const train::TrainedAlone alone(model, component, tensors);
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<DistillObjective> objective,
        DistillObjective::Create(*model.FindComponent(component), std::move(tensors), teacher.get(),
                                 *split.trained, std::move(objective_options), tools));
    const DistillSamples& judged = split.held->size() > 0 ? *split.held : *split.trained;
    WANLITE_ASSIGN_OR_RETURN(const double before, objective->OutputError(judged));
    train::TrainRun run;
    run.env = context.env;
    run.what = component.empty() ? "the network" : component;
    run.state_dir = JoinPath(scratch, absl::StrCat(component, ".state"));
    run.identity = objective->identity();
    run.identity.insert(identity.begin(), identity.end());
    run.group = context.group;
    run.progress = context.progress;
    run.cancel = context.cancel;
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                             TrainLogged(*objective, run, component, context));
    // Of the run as a whole: what a killed and continued one did is the same. The loss is not, as
    // it is the mean of the last steps of this call.
    context.metrics[component + ".steps"] = static_cast<double>(report.steps);
    context.metrics[component + ".skipped_steps"] = static_cast<double>(report.skipped);
    context.metrics[component + ".held_samples"] = static_cast<double>(split.held->size());
    context.metrics[component + ".error_before"] = before;
    WANLITE_ASSIGN_OR_RETURN(context.metrics[component + ".error_after"],
                             objective->OutputError(judged));
    if (zeros.has_value()) WANLITE_RETURN_IF_ERROR(zeros->Restore());
    MoveComponent(model, component, at::Device(at::kCPU));
    return masters.Restore();
  }

  absl::StatusOr<train::TrainReport> TrainLogged(DistillObjective& objective, train::TrainRun& run,
                                                 const std::string& component,
                                                 const PassContext& context) const {
    const bool first = context.group == nullptr || context.group->rank() == 0;
    if (context.logs.empty() || !first) return train::Train(loop(), objective, run);
    train::TrainingLog log(
        *context.env,
        JoinPath(context.logs, absl::StrCat(component.empty() ? "network" : component, ".jsonl")));
    absl::Status logged;
    run.observe = [&](const train::StepReport& step) {
      logged.Update(log.Observe(step, loop(), context.cancel));
    };
    absl::StatusOr<train::TrainReport> report = train::Train(loop(), objective, run);
    logged.Update(log.Flush());
    if (!report.ok()) return report;
    WANLITE_RETURN_IF_ERROR(logged);
    return report;
  }

  const std::string name_;
  const std::unique_ptr<Message> message_;
  const DistillOptions options_;
};

absl::Status WantAbove(const std::string& field, double value) {
  if (value > 0 && std::isfinite(value)) return absl::OkStatus();
  return OptionError(field, absl::StrCat(value, " is not a finite number above 0"));
}

absl::Status ResolveLevels(LevelWeighting& levels, const std::string& field) {
  if (!levels.has_cap()) levels.set_cap(5);
  if (!levels.has_mean()) levels.set_mean(0);
  if (!levels.has_std()) levels.set_std(1);
  WANLITE_RETURN_IF_ERROR(WantAbove(field + ".cap", levels.cap()));
  WANLITE_RETURN_IF_ERROR(WantAbove(field + ".std", levels.std()));
  if (!std::isfinite(levels.mean())) {
    return OptionError(field + ".mean", absl::StrCat(levels.mean(), " is not finite"));
  }
  return absl::OkStatus();
}

absl::Status ResolveTerm(LossTerm& term, const std::string& field, const DistillOptions& options) {
  const bool taught = options.teacher() != DistillOptions::NO_TEACHER;
  std::string kind;
  switch (term.term_case()) {
    case LossTerm::kSquaredError:
      kind = "squared_error";
      WANLITE_RETURN_IF_ERROR(ResolveLevels(*term.mutable_squared_error()->mutable_levels(),
                                            field + ".squared_error.levels"));
      break;
    case LossTerm::kKl:
      kind = "kl";
      if (!term.kl().has_temperature()) term.mutable_kl()->set_temperature(1);
      WANLITE_RETURN_IF_ERROR(WantAbove(field + ".kl.temperature", term.kl().temperature()));
      break;
    case LossTerm::kGaussianKl: {
      kind = "gaussian_kl";
      GaussianKlTerm& gaussian = *term.mutable_gaussian_kl();
      if (!gaussian.has_variance()) gaussian.set_variance(0.5);
      WANLITE_RETURN_IF_ERROR(WantAbove(field + ".gaussian_kl.variance", gaussian.variance()));
      WANLITE_RETURN_IF_ERROR(
          ResolveLevels(*gaussian.mutable_levels(), field + ".gaussian_kl.levels"));
      break;
    }
    case LossTerm::kFeatures:
      kind = "features";
      if (!(term.features().outlier_sigmas() >= 0)) {
        return OptionError(field + ".features.outlier_sigmas",
                           absl::StrCat(term.features().outlier_sigmas(), " is not at least 0"));
      }
      break;
    case LossTerm::kRelation:
      kind = "relation";
      if (!term.relation().has_temperature()) term.mutable_relation()->set_temperature(0.1);
      WANLITE_RETURN_IF_ERROR(
          WantAbove(field + ".relation.temperature", term.relation().temperature()));
      break;
    case LossTerm::kClip: {
      kind = "clip";
      ClipTerm& clip = *term.mutable_clip();
      if (!clip.has_scale()) clip.set_scale(20);
      if (!clip.has_max_sigma()) clip.set_max_sigma(1);
      WANLITE_RETURN_IF_ERROR(WantAbove(field + ".clip.scale", clip.scale()));
      WANLITE_RETURN_IF_ERROR(WantAbove(field + ".clip.max_sigma", clip.max_sigma()));
      break;
    }
    case LossTerm::kProjected: {
      kind = "projected";
      ProjectedTerm& projected = *term.mutable_projected();
      if (projected.input().empty()) projected.set_input("encoder_hidden_states");
      if (projected.value().empty()) projected.set_value("context");
      if (projected.mask().empty()) projected.set_mask("attention_mask");
      if (!projected.has_cosine()) projected.set_cosine(0.1);
      if (!(projected.cosine() >= 0)) {
        return OptionError(field + ".projected.cosine",
                           absl::StrCat(projected.cosine(), " is not at least 0"));
      }
      break;
    }
    default:
      return OptionError(field,
                         "says no kind of term: squared_error, kl, gaussian_kl, features, "
                         "relation, clip or projected");
  }
  if (term.name().empty()) term.set_name(kind);
  if (!term.has_weight()) term.set_weight(1);
  if (!(term.weight() >= 0 && std::isfinite(term.weight()))) {
    return OptionError(field + ".weight", absl::StrCat(term.weight(), " is not at least 0"));
  }
  if (!taught && distill::NeedsTeacher(term)) {
    return OptionError(absl::StrCat(field, ".", kind),
                       "compares with a teacher, and there is none (NO_TEACHER)");
  }
  const int64_t steps = options.loop().steps();
  if (term.from_step() < 0 || term.from_step() >= steps) {
    return OptionError(field + ".from_step",
                       absl::StrCat(term.from_step(), " is not in [0, loop.steps = ", steps, ")"));
  }
  if (term.until_step() != 0 && term.until_step() <= term.from_step()) {
    return OptionError(
        field + ".until_step",
        absl::StrCat(term.until_step(), " is not above from_step = ", term.from_step()));
  }
  if (term.ramp_steps() < 0) {
    return OptionError(field + ".ramp_steps", absl::StrCat(term.ramp_steps(), " is below 0"));
  }
  // Whatever compares samples with each other needs two of them at once.
  const int64_t parts = static_cast<int64_t>(std::max(1, options.loop().accumulate())) *
                        std::max(1, options.loop().workers());
  const bool across = (term.has_relation() && term.relation().rows() == RelationTerm::SAMPLES) ||
                      (term.has_clip() && term.clip().form() == ClipTerm::CONTRASTIVE);
  if (across && options.loop().batch() / parts < 2) {
    return OptionError(absl::StrCat(field, ".", kind),
                       absl::StrCat("compares samples of a batch with each other, and loop.batch ",
                                    options.loop().batch(), " in ", parts,
                                    " parts leaves fewer than two together"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ResolveDistill(DistillOptions& options) {
  if (!options.has_keep_zeros()) options.set_keep_zeros(true);
  if (!DistillOptions::Teacher_IsValid(options.teacher())) {
    return OptionError("teacher", absl::StrCat(static_cast<int>(options.teacher()),
                                               " is not INPUT, BEFORE or NO_TEACHER"));
  }
  if (!options.teacher_path().empty() && options.teacher() != DistillOptions::INPUT) {
    return OptionError("teacher_path", "is in place of INPUT; leave out teacher");
  }
  if (!options.has_loop()) return OptionError("loop", "is missing: how long it is trained");
  const train::LoopOptions loop = train::LoopOf(options.loop());
  WANLITE_RETURN_IF_ERROR(CheckLoopOptions(loop, "loop"));
  const int64_t parts = static_cast<int64_t>(loop.accumulate) * loop.workers;
  if (loop.batch < parts) {
    return OptionError("loop.batch", absl::StrCat(loop.batch, " samples are fewer than the ", parts,
                                                  " parts of loop.accumulate and loop.workers"));
  }
  const bool taught = options.teacher() != DistillOptions::NO_TEACHER;
  if (options.terms().empty()) {
    options.add_terms()->mutable_squared_error()->set_wanted(taught ? SquaredErrorTerm::TEACHER
                                                                    : SquaredErrorTerm::DATA);
  }
  std::set<std::string> names;
  for (int i = 0; i < options.terms_size(); ++i) {
    const std::string field = absl::StrCat("terms[", i, "]");
    WANLITE_RETURN_IF_ERROR(ResolveTerm(*options.mutable_terms(i), field, options));
    if (!names.insert(options.terms(i).name()).second) {
      return OptionError(field + ".name", absl::StrCat("\"", options.terms(i).name(),
                                                       "\" is the name of an earlier term"));
    }
  }
  const auto counts = [&](int64_t step) {
    return std::any_of(options.terms().begin(), options.terms().end(),
                       [&](const LossTerm& term) { return distill::TermWeight(term, step) > 0; });
  };
  // A gap begins where a term ends, or at the beginning.
  if (!counts(0)) return OptionError("terms", "none counts at the first step");
  for (int i = 0; i < options.terms_size(); ++i) {
    const int64_t end = options.terms(i).until_step();
    if (end > 0 && end < loop.steps && !counts(end)) {
      return OptionError(absl::StrCat("terms[", i, "].until_step"),
                         absl::StrCat("no term counts at step ", end));
    }
  }
  if (taught && std::none_of(options.terms().begin(), options.terms().end(),
                             [](const LossTerm& term) { return distill::NeedsTeacher(term); })) {
    return OptionError("teacher", "a teacher has no part in the terms; say NO_TEACHER");
  }
  if (options.cache() && !taught) {
    return OptionError("cache", "is of a teacher, and there is none (NO_TEACHER)");
  }
  if (std::count_if(options.terms().begin(), options.terms().end(),
                    [](const LossTerm& term) { return term.has_projected(); }) > 1) {
    return OptionError("terms", "has more than one projected");
  }
  if (!options.has_balance_rate()) options.set_balance_rate(10);
  return WantAbove("balance_rate", options.balance_rate());
}

std::unique_ptr<Pass> MakeDistillAs(std::string name, std::unique_ptr<Message> options,
                                    DistillOptions training) {
  return std::make_unique<DistillPass>(std::move(name), std::move(options), std::move(training));
}

absl::StatusOr<std::unique_ptr<Pass>> MakeDistill(const DistillOptions& options) {
  DistillOptions resolved = options;
  WANLITE_RETURN_IF_ERROR(ResolveDistill(resolved));
  return MakeDistillAs("distill", std::make_unique<DistillOptions>(resolved), resolved);
}

}  // namespace wanlite
