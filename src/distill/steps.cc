// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/steps.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/core/random.h"
#include "src/distill/guided_options.h"
#include "src/train/component_training.h"
#include "src/train/loop_options.h"
#include "src/train/sample_order.h"
#include "wanlite/model_library.h"
#include "wanlite/registry.h"
#include "wanlite/sampling.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using distill::StepsRun;
using google::protobuf::Message;
using Options = DistillStepsOptions;

constexpr int64_t kMostSteps = 64;
constexpr int64_t kMostTeacherSteps = 10000;

std::string MethodName(Options::Method method) { return Options::Method_Name(method); }

// The few steps of the options, with what the model's own files say where these say nothing.
absl::StatusOr<FewSteps> FewStepsOf(const Options& options, const ModelView& model) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> denoisers,
                           distill::GuidedDenoisers(model));
  WANLITE_ASSIGN_OR_RETURN(const SamplingDefaults own, ReadSampling(model.pipeline()));
  FewSteps few;
  few.steps = options.steps();
  few.stochastic = options.sampler() == Options::LCM;
  few.shift = options.has_shift() ? options.shift() : own.shift;
  few.timesteps.assign(options.timesteps().begin(), options.timesteps().end());
  const bool two = denoisers.size() > 1 && own.boundary_ratio > 0;
  if (!two) {
    if (!options.has_boundary_step()) return few;
    return OptionError("boundary_step", "the model has one expert, which makes all steps");
  }
  if (options.has_boundary_step()) {
    few.boundary_step = options.boundary_step();
    return few;
  }
  const std::vector<double> sigmas = SigmasOf(few);
  int64_t step = 0;
  // In fp32, as samplers compare.
  while (step < few.steps && static_cast<float>(distill::kTimesteps * sigmas[step]) >=
                                 static_cast<float>(distill::kTimesteps * own.boundary_ratio)) {
    ++step;
  }
  few.boundary_step = std::max<int64_t>(1, step);
  return few;
}

// Steps of one expert: a denoiser that has none is left out.
std::vector<DistillStepsDecision::Expert> ExpertsOf(const FewSteps& few,
                                                    const std::vector<std::string>& denoisers) {
  const int64_t boundary = few.boundary_step.value_or(few.steps);
  std::vector<DistillStepsDecision::Expert> experts;
  const auto add = [&](const std::string& component, int64_t first, int64_t end) {
    if (first == end) return;
    DistillStepsDecision::Expert expert;
    expert.set_component(component);
    expert.set_first_step(first);
    expert.set_end_step(end);
    experts.push_back(std::move(expert));
  };
  add(denoisers[0], 0, boundary);
  if (denoisers.size() > 1) add(denoisers[1], boundary, few.steps);
  return experts;
}

std::string TimestepText(const FewSteps& few) {
  std::vector<std::string> texts;
  for (const double sigma : SigmasOf(few)) {
    if (sigma > 0) texts.push_back(absl::StrFormat("%.4g", distill::kTimesteps * sigma));
  }
  return absl::StrJoin(texts, ", ");
}

class DistillSteps : public ModelPass {
 public:
  explicit DistillSteps(Options options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "distill-steps"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kDistilsSteps; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    return distill::GuidedDenoisers(model);
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> denoisers, components(model));
    WANLITE_RETURN_IF_ERROR(train::CheckTrainPatterns(model, denoisers, Patterns()));
    WANLITE_ASSIGN_OR_RETURN(const FewSteps few, FewStepsOf(options_, model));
    WANLITE_ASSIGN_OR_RETURN(const SamplingDefaults own, ReadSampling(model.pipeline()));
    PassNotes notes;
    std::vector<std::string> trained;
    for (const auto& expert : ExpertsOf(few, denoisers)) {
      trained.push_back(expert.component());
      WANLITE_ASSIGN_OR_RETURN(
          notes.trainings.emplace_back(),
          distill::NoteDenoiser(model, expert.component(), options_.loop(), Patterns(),
                                options_.recompute(), "in few steps"));
      notes.notes.push_back(absl::StrCat(expert.component(), " learns step ",
                                         expert.first_step() + 1, " to ", expert.end_step(), " of ",
                                         few.steps));
    }
    if (trained.size() < denoisers.size()) {
      notes.notes.push_back(absl::StrCat(denoisers.back(), " has no step: it is left as it is"));
    }
    notes.notes.push_back(absl::StrCat(MethodName(options_.method()), ": ", loop().steps,
                                       " updates of ", loop().batch,
                                       " samples for each expert; the teacher's guidance is folded "
                                       "in"));
    notes.peak_memory_bytes = distill::PeakOfTraining(model, denoisers, loop(), OtherNetworks());
    if (options_.method() == Options::DMD2) {
      // The network that is trained along, as the student is.
      notes.peak_memory_bytes += distill::PeakOfTraining(model, {trained.front()}, loop(), 0);
    }
    if (!model.pipeline().model_index.empty()) {
      notes.value_changes.push_back(
          {"model_index.json",
           absl::StrCat("steps ", own.steps, " -> ", few.steps, ", guidance ",
                        distill::GuidanceText(own), " -> 1",
                        few.boundary_step
                            ? absl::StrCat(", switch of experts at step ", *few.boundary_step + 1)
                            : "")});
      notes.value_changes.push_back(
          {"scheduler_config.json",
           absl::StrCat("timesteps ", TimestepText(few),
                        few.stochastic ? ", new noise after each step" : ", Euler's method")});
    }
    return notes;
  }

  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> denoisers, components(model));
    WANLITE_ASSIGN_OR_RETURN(const FewSteps few, FewStepsOf(options_, model));
    WANLITE_ASSIGN_OR_RETURN(
        const std::vector<distill::GuidedExpert> teachers,
        distill::ExpertsOfTeacher(context, name(), Ref(), distill::GuidanceOf(options_)));
    WANLITE_ASSIGN_OR_RETURN(const SamplingDefaults sampling,
                             distill::SamplingOfTeacher(context, name(), Ref()));
    auto decision = std::make_unique<DistillStepsDecision>();
    bool guided = false;
    for (const distill::GuidedExpert& teacher : teachers) {
      DistillStepsDecision::Teacher& entry = *decision->add_teachers();
      entry.set_component(teacher.component);
      entry.set_guidance(teacher.guidance);
      entry.set_from_sigma(teacher.from_sigma);
      guided = guided || teacher.guidance != 1;
    }
    for (const auto& expert : ExpertsOf(few, denoisers)) {
      WANLITE_ASSIGN_OR_RETURN(const distill::PromptSamples samples,
                               distill::PromptSamples::Open(*context.samples, expert.component()));
      if (WantsClips()) {
        WANLITE_ASSIGN_OR_RETURN(const Values first, samples.Read(0));
        WANLITE_RETURN_IF_ERROR(
            Annotate(distill::ClipOf(first).status(), MethodName(options_.method())));
      }
      if (options_.method() != Options::TRAJECTORY &&
          distill::FindExpert(teachers, expert.component()) == nullptr) {
        return absl::FailedPreconditionError(absl::StrCat("the teacher has no denoiser '",
                                                          expert.component(),
                                                          "' that would run; of two experts "
                                                          "in one TRAJECTORY alone can learn"));
      }
      *decision->add_experts() = expert;
    }
    if (guided) {
      WANLITE_RETURN_IF_ERROR(
          distill::NegativeText(*context.samples, decision->experts(0).component()).status());
    }
    for (const double sigma : SigmasOf(few)) decision->add_sigmas(sigma);
    decision->set_shift(few.shift);
    const int64_t wanted = options_.has_teacher_steps() ? options_.teacher_steps() : sampling.steps;
    int64_t substeps = std::max<int64_t>(1, (wanted + few.steps - 1) / few.steps);
    if (options_.method() == Options::PROGRESSIVE) {
      int64_t halvings = 2;
      while (halvings < substeps) halvings *= 2;
      substeps = halvings;
    }
    decision->set_substeps(substeps);
    return decision;
  }

  absl::Status Restructure(ModelView& model, const Message*) const override {
    WANLITE_ASSIGN_OR_RETURN(const FewSteps few, FewStepsOf(options_, model));
    WANLITE_ASSIGN_OR_RETURN(PipelineFiles files, WithFewSteps(model.pipeline(), few));
    model.SetPipeline(std::move(files));
    return absl::OkStatus();
  }

  absl::Status RunModel(ModelView& model, const Message* message,
                        PassContext& context) const override {
    WANLITE_RETURN_IF_ERROR(ScratchOf(context, name()).status());
    const auto& decision = static_cast<const DistillStepsDecision&>(*message);
    StepsRun run{options_, decision, Ref(), "", {}};
    WANLITE_ASSIGN_OR_RETURN(run.identity, context.models->Fingerprint(run.teacher));
    for (const auto& teacher : decision.teachers()) {
      if (teacher.guidance() == 1 || run.negative.defined()) continue;
      WANLITE_ASSIGN_OR_RETURN(
          run.negative, distill::NegativeText(*context.samples, decision.experts(0).component()));
    }
    for (const auto& expert : decision.experts()) {
      const auto distil = options_.method() == Options::TRAJECTORY    ? distill::DistillTrajectory
                          : options_.method() == Options::PROGRESSIVE ? distill::DistillByHalving
                          : options_.method() == Options::CONSISTENCY ? distill::DistillConsistency
                                                                      : distill::DistillMatching;
      WANLITE_RETURN_IF_ERROR(Annotate(distil(run, expert, model, context), expert.component()));
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Explain(const Message* message) const override {
    std::vector<std::string> lines;
    if (message == nullptr) return lines;
    const auto& decision = static_cast<const DistillStepsDecision&>(*message);
    for (const auto& expert : decision.experts()) {
      std::vector<std::string> timesteps;
      for (int64_t k = expert.first_step(); k < expert.end_step(); ++k) {
        timesteps.push_back(
            absl::StrFormat("%.4g", distill::kTimesteps * decision.sigmas(static_cast<int>(k))));
      }
      lines.push_back(absl::StrCat(expert.component(), " makes the steps at timesteps ",
                                   absl::StrJoin(timesteps, ", ")));
    }
    for (const auto& teacher : decision.teachers()) {
      lines.push_back(absl::StrCat("taught by ", teacher.component(), " with guidance ",
                                   teacher.guidance(), ", ", decision.substeps(),
                                   " of its steps for each of the ", options_.steps()));
    }
    return lines;
  }

 private:
  train::LoopOptions loop() const { return train::LoopOf(options_.loop()); }
  std::vector<std::string> Patterns() const {
    return {options_.train().begin(), options_.train().end()};
  }
  std::string Ref() const {
    return distill::GuidedTeacherRef(options_.teacher(), options_.teacher_path());
  }
  bool WantsClips() const {
    return options_.method() == Options::PROGRESSIVE || options_.method() == Options::CONSISTENCY;
  }
  // In memory beside the student.
  int OtherNetworks() const {
    switch (options_.method()) {
      case Options::TRAJECTORY:
        return 0;  // the teacher is gone before training begins
      case Options::CONSISTENCY:
        return 2;  // teacher and target
      default:
        return 1;
    }
  }

  const Options options_;
};

absl::Status CheckSteps(Options& options) {
  if (!Options::Method_IsValid(options.method())) {
    return OptionError("method", absl::StrCat(static_cast<int>(options.method()),
                                              " is not TRAJECTORY, PROGRESSIVE, CONSISTENCY or "
                                              "DMD2"));
  }
  if (options.steps() < 1 || options.steps() > kMostSteps) {
    return OptionError("steps", absl::StrCat(options.steps(), " is not in [1, ", kMostSteps, "]"));
  }
  if (options.timesteps_size() > 0 && options.timesteps_size() != options.steps()) {
    return OptionError("timesteps", absl::StrCat(options.timesteps_size(), " of them for ",
                                                 options.steps(), " steps"));
  }
  double before = std::nextafter(distill::kTimesteps, 2 * distill::kTimesteps);
  for (int i = 0; i < options.timesteps_size(); ++i) {
    if (!(options.timesteps(i) > 0 && options.timesteps(i) < before)) {
      return OptionError(absl::StrCat("timesteps[", i, "]"),
                         absl::StrCat(options.timesteps(i),
                                      " is not in (0, 1000] and less than the one before it"));
    }
    before = options.timesteps(i);
  }
  if (options.timesteps_size() > 0 && options.timesteps(0) != distill::kTimesteps) {
    return OptionError(
        "timesteps[0]",
        absl::StrCat(options.timesteps(0), " is not 1000: generation starts from noise alone"));
  }
  if (options.has_shift() && !(options.shift() > 0 && options.shift() <= 1000)) {
    return OptionError("shift", absl::StrCat(options.shift(), " is not in (0, 1000]"));
  }
  if (options.has_boundary_step() &&
      (options.boundary_step() < 1 || options.boundary_step() > options.steps())) {
    return OptionError("boundary_step", absl::StrCat(options.boundary_step(), " is not in [1, ",
                                                     options.steps(), "]"));
  }
  return absl::OkStatus();
}

absl::Status CheckOfMethod(Options& options) {
  const Options::Method method = options.method();
  const bool matching = method == Options::DMD2;
  if (!Options::Sampler_IsValid(options.sampler())) {
    return OptionError("sampler",
                       absl::StrCat(static_cast<int>(options.sampler()), " is not EULER or LCM"));
  }
  if (options.sampler() == Options::SAMPLER_OF_METHOD) {
    options.set_sampler(matching ? Options::LCM : Options::EULER);
  }
  if (matching && options.sampler() == Options::EULER) {
    return OptionError("sampler", "EULER is not of DMD2, whose student predicts clips: LCM");
  }
  if (!matching && method != Options::TRAJECTORY && options.sampler() == Options::LCM) {
    return OptionError("sampler", absl::StrCat("LCM is not of ", MethodName(method),
                                               ", whose steps arrive at the next step: EULER"));
  }
  struct Given {
    const char* field;
    bool given, allowed;
    const char* of;
  };
  const Given fields[] = {
      {"paths", options.has_paths(), method == Options::TRAJECTORY, "TRAJECTORY"},
      {"teacher_steps", options.has_teacher_steps(), !matching,
       "TRAJECTORY, PROGRESSIVE and CONSISTENCY"},
      {"target_decay", options.has_target_decay(), method == Options::CONSISTENCY, "CONSISTENCY"},
      {"fake_updates", options.has_fake_updates(), matching, "DMD2"},
      {"fake_learning_rate", options.has_fake_learning_rate(), matching, "DMD2"},
      {"min_level", options.has_min_level(), matching, "DMD2"},
      {"max_level", options.has_max_level(), matching, "DMD2"},
  };
  for (const Given& field : fields) {
    if (field.given && !field.allowed) {
      return OptionError(field.field, absl::StrCat("is an option of ", field.of));
    }
  }
  if (options.has_paths() && options.paths() < 1) {
    return OptionError("paths", absl::StrCat(options.paths(), " is not at least 1"));
  }
  if (options.has_teacher_steps() &&
      (options.teacher_steps() < options.steps() || options.teacher_steps() > kMostTeacherSteps)) {
    return OptionError("teacher_steps", absl::StrCat(options.teacher_steps(),
                                                     " is not in [steps = ", options.steps(), ", ",
                                                     kMostTeacherSteps, "]"));
  }
  if (method == Options::CONSISTENCY && !options.has_target_decay()) options.set_target_decay(0.95);
  if (!(options.target_decay() >= 0 && options.target_decay() < 1)) {
    return OptionError("target_decay", absl::StrCat(options.target_decay(), " is not in [0, 1)"));
  }
  if (!matching) return absl::OkStatus();
  if (!options.has_fake_updates()) options.set_fake_updates(5);
  if (options.fake_updates() < 1 || options.fake_updates() > 1000) {
    return OptionError("fake_updates",
                       absl::StrCat(options.fake_updates(), " is not in [1, 1000]"));
  }
  if (!options.has_fake_learning_rate()) {
    options.set_fake_learning_rate(options.loop().learning_rate());
  }
  if (!(options.fake_learning_rate() > 0 && options.fake_learning_rate() < 1)) {
    return OptionError("fake_learning_rate",
                       absl::StrCat(options.fake_learning_rate(), " is not between 0 and 1"));
  }
  if (!options.has_min_level()) options.set_min_level(0.02);
  if (!options.has_max_level()) options.set_max_level(0.98);
  if (!(options.min_level() >= 0 && options.min_level() < options.max_level() &&
        options.max_level() <= 1)) {
    return OptionError("min_level",
                       absl::StrCat(options.min_level(), " and max_level ", options.max_level(),
                                    " are not ascending in [0, 1]"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeDistillSteps(const DistillStepsOptions& options) {
  DistillStepsOptions resolved = options;
  WANLITE_RETURN_IF_ERROR(distill::CheckGuidance(distill::GuidanceOf(resolved)));
  if (!resolved.has_keep_zeros()) resolved.set_keep_zeros(true);
  WANLITE_RETURN_IF_ERROR(distill::CheckTeacher(resolved.teacher(), resolved.teacher_path()));
  WANLITE_RETURN_IF_ERROR(CheckSteps(resolved));
  WANLITE_RETURN_IF_ERROR(distill::CheckLoop(resolved.has_loop(), resolved.loop()));
  WANLITE_RETURN_IF_ERROR(CheckOfMethod(resolved));
  return std::make_unique<DistillSteps>(std::move(resolved));
}

namespace distill {
namespace {

enum DrawnStream : uint64_t { kDrawnNoise = 11, kDrawnRest = 12 };

}  // namespace

DenoiserTraining StepsRun::Training(const std::string& component, const std::string& state) const {
  DenoiserTraining training;
  training.keep_zeros = options.keep_zeros();
  training.component = component;
  training.state = state;
  training.loop = &options.loop();
  training.options = train::LoopOf(options.loop());
  training.patterns.assign(options.train().begin(), options.train().end());
  training.identity["teacher"] = identity;
  training.identity["method"] = DistillStepsOptions::Method_Name(options.method());
  training.identity["sigmas"] = absl::StrJoin(decision.sigmas(), " ");
  training.identity["substeps"] = absl::StrCat(decision.substeps());
  for (const auto& taught_by : decision.teachers()) {
    absl::StrAppend(&training.identity["guidance"], taught_by.component(), " ",
                    taught_by.guidance(), " from ", taught_by.from_sigma(), " ");
  }
  return training;
}

const DistillStepsDecision::Teacher& StepsRun::TeacherOf(const std::string& component) const {
  for (const auto& teacher : decision.teachers()) {
    if (teacher.component() == component) return teacher;
  }
  TORCH_CHECK(false, "no teacher for ", component);  // Decide() has looked
}

absl::StatusOr<ModelView> StepsRun::LoadTeacherOf(const std::string& component,
                                                  const PassContext& context) const {
  WANLITE_ASSIGN_OR_RETURN(ModelView view,
                           train::OpenTeacher(context, "distill-steps", teacher, component));
  WANLITE_RETURN_IF_ERROR(train::LoadTeacher(view));
  return view;
}

std::vector<double> DividedSigmas(const DistillStepsDecision& decision, int64_t parts) {
  std::vector<double> sigmas;
  for (int k = 0; k + 1 < decision.sigmas_size(); ++k) {
    const double from = UnshiftSigma(decision.sigmas(k), decision.shift());
    const double to = UnshiftSigma(decision.sigmas(k + 1), decision.shift());
    sigmas.push_back(decision.sigmas(k));
    for (int64_t part = 1; part < parts; ++part) {
      const double place = static_cast<double>(part) / static_cast<double>(parts);
      sigmas.push_back(ShiftSigma(from + (to - from) * place, decision.shift()));
    }
  }
  sigmas.push_back(0);
  return sigmas;
}

at::Tensor AsTensor(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).to(at::kFloat);
}

at::Tensor SeededNoise(const at::Tensor& like, uint64_t seed) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(like.sizes(), generator, at::TensorOptions().dtype(at::kFloat))
      .to(like.device());
}

struct DrawnSamples::Rep {
  const PromptSamples& samples;
  const std::vector<int64_t> numbers;
  const int64_t batch;
  const uint64_t seed;
  const bool clips;
  train::SampleOrder order;
};

DrawnSamples::DrawnSamples(const PromptSamples& samples, std::vector<int64_t> numbers,
                           int64_t batch, uint64_t seed, bool clips)
    : fingerprint_(absl::StrCat(samples.fingerprint(), "/", numbers.size(), " drawn by ", seed)) {
  const auto size = static_cast<int64_t>(numbers.size());
  rep_.reset(new Rep{samples, std::move(numbers), batch, seed, clips, {size, seed}});
}

DrawnSamples::~DrawnSamples() = default;

DrawnBatch DrawnSamples::Draw(int64_t step, int part, int parts) const {
  std::vector<at::Tensor> clips, noises, texts;
  DrawnBatch batch;
  for (int64_t i = part; i < rep_->batch; i += parts) {
    const int64_t position = step * rep_->batch + i;
    const int64_t number = rep_->numbers[static_cast<size_t>(rep_->order.At(position))];
    const absl::StatusOr<Values> values = rep_->samples.Read(number);
    TORCH_CHECK(values.ok(), std::string(values.status().message()));
    const auto place = static_cast<uint64_t>(position);
    noises.push_back(
        SeededNoise(ValueOf(*values, kLatents), MixSeed(rep_->seed, {kDrawnNoise, place})));
    texts.push_back(ValueOf(*values, kText));
    if (rep_->clips) {
      const absl::StatusOr<at::Tensor> clip = ClipOf(*values);
      TORCH_CHECK(clip.ok(), std::string(clip.status().message()));
      clips.push_back(*clip);
    }
    batch.seeds.push_back(MixSeed(rep_->seed, {kDrawnRest, place}));
  }
  batch.noise = at::cat(noises);
  batch.text = at::cat(texts);
  if (rep_->clips) batch.clip = at::cat(clips);
  return batch;
}

}  // namespace distill
}  // namespace wanlite
