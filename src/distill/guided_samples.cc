// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/guided_samples.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "src/train/component_training.h"
#include "src/train/held_zeros.h"
#include "src/train/loop_options.h"
#include "src/train/sample_data.h"
#include "wanlite/block_program.h"
#include "wanlite/process_group.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"

namespace wanlite::distill {
namespace {

constexpr char kNegativeBranch[] = "negative";
constexpr size_t kHeldShare = 8;

void ToFloat(Values& values) {
  for (auto& [name, value] : values) {
    if (value.defined() && value.is_floating_point()) value = value.to(at::kFloat);
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> GuidedDenoisers(const ModelView& model) {
  std::vector<std::string> names;
  for (const Component& component : model.components()) {
    if (component.role != ComponentRole::kDenoiser) continue;
    const BlockProgram* program = ProgramOf(component);
    if (program == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("denoiser '", component.name, "' of architecture ", component.architecture,
                       " declares no block program, which it is run by"));
    }
    const std::vector<std::string> inputs = program->Inputs();
    const std::set<std::string> found(inputs.begin(), inputs.end());
    if (found != std::set<std::string>{kLatents, kTimestep, kText}) {
      return absl::InvalidArgumentError(
          absl::StrCat("denoiser '", component.name, "' takes ", absl::StrJoin(inputs, ", "),
                       "; guidance and steps are distilled of networks that take ", kLatents, ", ",
                       kTimestep, " and ", kText));
    }
    names.push_back(component.name);
  }
  if (names.empty()) return absl::InvalidArgumentError("the model has no denoiser");
  if (names.size() <= 2) return names;
  return absl::InvalidArgumentError(
      absl::StrCat("the model has ", names.size(), " denoisers; one or two experts are known"));
}

std::string GuidedTeacherRef(GuidedTeacher::Which which, const std::string& path) {
  return train::TeacherRef(path, which == GuidedTeacher::BEFORE);
}

absl::StatusOr<PromptSamples> PromptSamples::Open(const SampleSet& samples,
                                                  const std::string& component) {
  PromptSamples opened(samples, component);
  for (int64_t i = 0; i < samples.size(component); ++i) {
    if (samples.sample(component, i).branch != kNegativeBranch) opened.numbers_.push_back(i);
  }
  if (opened.numbers_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the samples hold no inputs of component '", component,
                     "' with a prompt, only of: ", absl::StrJoin(samples.components(), ", ")));
  }
  opened.fingerprint_ = absl::StrCat(samples.fingerprint(), "/", component, "/prompts");
  return opened;
}

int64_t PromptSamples::prompt(int64_t i) const {
  return samples_.sample(component_, numbers_[static_cast<size_t>(i)]).prompt;
}

absl::StatusOr<Values> PromptSamples::Read(int64_t i) const {
  if (i < 0 || i >= size()) return absl::OutOfRangeError(absl::StrCat("sample ", i));
  WANLITE_ASSIGN_OR_RETURN(Values values,
                           samples_.Read(component_, numbers_[static_cast<size_t>(i)]));
  ToFloat(values);
  return values;
}

int64_t PromptSamples::FirstHeld() const {
  std::set<int64_t> prompts;
  for (int64_t i = 0; i < size(); ++i) {
    if (prompt(i) >= 0) prompts.insert(prompt(i));
  }
  const size_t held = prompts.size() / kHeldShare;
  if (held == 0) return prompts.empty() ? 0 : *prompts.rbegin() + 1;
  return *std::prev(prompts.end(), static_cast<std::ptrdiff_t>(held));
}

std::vector<int64_t> PromptSamples::Trained() const {
  const int64_t first = FirstHeld();
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < size(); ++i) {
    if (prompt(i) < 0 || prompt(i) < first) numbers.push_back(i);
  }
  return numbers;
}

std::vector<int64_t> PromptSamples::Held() const {
  const int64_t first = FirstHeld();
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < size(); ++i) {
    if (prompt(i) >= 0 && prompt(i) >= first) numbers.push_back(i);
  }
  return numbers;
}

std::vector<int64_t> PromptSamples::Texts() const {
  std::set<std::string> seen;
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < size(); ++i) {
    const SampleInfo& info = samples_.sample(component_, numbers_[static_cast<size_t>(i)]);
    const auto text = info.values.find(kText);
    if (text != info.values.end() && seen.insert(text->second).second) numbers.push_back(i);
  }
  return numbers;
}

absl::StatusOr<at::Tensor> NegativeText(const SampleSet& samples, const std::string& component) {
  std::vector<std::string> order{component};
  for (const std::string& other : samples.components()) {
    if (other != component) order.push_back(other);
  }
  for (const std::string& name : order) {
    for (int64_t i = 0; i < samples.size(name); ++i) {
      const SampleInfo& info = samples.sample(name, i);
      if (info.branch != kNegativeBranch || !info.values.contains(kText)) continue;
      WANLITE_ASSIGN_OR_RETURN(Values values, samples.Read(name, i));
      ToFloat(values);
      return values.at(kText);
    }
  }
  return absl::FailedPreconditionError(
      "guidance compares with the negative prompt, and the samples hold none of its branch: record "
      "them with a guidance above 1, or clips with --caption-dropout");
}

absl::StatusOr<at::Tensor> ClipOf(const Values& sample) {
  const auto target = sample.find(kTargetValue);
  if (target == sample.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("clips are wanted, and the samples hold no value \"", kTargetValue,
                     "\" that tells them; wanlite record --clips makes samples that do"));
  }
  const at::Tensor& x = sample.at(kLatents);
  return x - AsFactor(sample.at(kTimestep).to(at::kFloat) / kTimesteps, x) * target->second;
}

at::Tensor AsFactor(const at::Tensor& sigma, const at::Tensor& x) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = sigma.numel();
  return sigma.reshape(shape).to(x.device());
}

at::Tensor VelocityOf(const Component& network, const at::Tensor& x, const at::Tensor& sigma,
                      const at::Tensor& text, bool recompute) {
  train::ProgramRun run;
  run.recompute = recompute;
  return train::RunProgram(
             network,
             {{kLatents, x}, {kTimestep, sigma.to(x.device()) * kTimesteps}, {kText, text}}, run)
      .to(at::kFloat);
}

at::Tensor GuidedVelocity(const Component& network, double guidance, const at::Tensor& x,
                          const at::Tensor& sigma, const at::Tensor& text,
                          const at::Tensor& negative) {
  const at::NoGradGuard no_grad;
  if (guidance == 1) return VelocityOf(network, x, sigma, text);
  TORCH_CHECK_VALUE(negative.defined(), "guidance ", guidance, " without a negative prompt");
  std::vector<int64_t> shape = text.sizes().vec();
  const at::Tensor both = VelocityOf(network, at::cat({x, x}), at::cat({sigma, sigma}),
                                     at::cat({text, negative.to(text.device()).expand(shape)}));
  const int64_t batch = x.size(0);
  const at::Tensor without = both.narrow(0, batch, batch);
  return without + guidance * (both.narrow(0, 0, batch) - without);
}

absl::StatusOr<TrainingNote> NoteDenoiser(const ModelView& model, const std::string& component,
                                          const TrainLoop& loop,
                                          const std::vector<std::string>& patterns, bool recompute,
                                          absl::string_view sampled) {
  train::TrainingPlan training;
  training.loop = train::LoopOf(loop);
  training.muon = loop.muon();
  training.recompute = recompute;
  training.patterns = train::PatternsFor(model, component, patterns);
  if (!patterns.empty() && training.patterns.empty()) {
    return OptionError("train", absl::StrCat("no pattern fits ", component,
                                             ", which would be sampled ", sampled, " untrained"));
  }
  return train::NoteTraining(model, component, training);
}

absl::Status TrainDenoiser(ModelView& model, const DenoiserTraining& training,
                           const MakeObjective& make, PassContext& context) {
  if (!context.device.is_cpu()) {
    return absl::UnimplementedError(
        absl::StrCat("distillation of steps and of guidance trains on the CPU alone, not on ",
                     context.device.str()));
  }
  train::TensorSelector selector;
  selector.components = {training.component};
  selector.muon = training.loop->muon();
  selector.include = train::PatternsFor(model, training.component, training.patterns);
  if (selector.include.empty() && !training.patterns.empty()) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters,
                           train::MasterWeights::Of(model, training.component));
  std::optional<train::HeldZeros> zeros;
  if (training.keep_zeros) {
    WANLITE_ASSIGN_OR_RETURN(train::HeldZeros held,
                             train::HeldZeros::Of(model, training.component));
    zeros.emplace(std::move(held));
  }
  WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> tensors,
                           train::TrainableTensors(model, selector));
  const train::TrainedAlone alone(model, training.component, tensors);
  WANLITE_ASSIGN_OR_RETURN(const DenoiserObjective made,
                           make(*model.FindComponent(training.component), std::move(tensors)));
  train::TrainRun run;
  run.env = context.env;
  run.what = training.component;
  run.state_dir = JoinPath(context.scratch, absl::StrCat(training.state, ".state"));
  run.identity = training.identity;
  run.identity.insert(made.identity.begin(), made.identity.end());
  run.group = context.group;
  run.progress = context.progress;
  run.cancel = context.cancel;
  WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                           train::Train(training.options, *made.objective, run));
  // Of the run as a whole: what a killed and continued one did is the same.
  context.metrics[training.component + ".steps"] += static_cast<double>(report.steps);
  context.metrics[training.component + ".skipped_steps"] += static_cast<double>(report.skipped);
  if (zeros.has_value()) WANLITE_RETURN_IF_ERROR(zeros->Restore());
  return masters.Restore();
}

absl::Status TrainOnTargets(ModelView& model, const DenoiserTraining& training, uint64_t seed,
                            bool recompute, const Dataset& data, const Dataset& judged,
                            PassContext& context) {
  train::VelocityOptions velocity;
  velocity.mix.data = 1;
  velocity.batch = training.options.batch;
  velocity.seed = seed;
  velocity.recompute = recompute;
  const auto error = [&]() -> double {
    return train::OutputError(*model.FindComponent(training.component), nullptr, judged);
  };
  const double before = error();
  WANLITE_RETURN_IF_ERROR(TrainDenoiser(
      model, training,
      [&](const Component& student,
          std::vector<train::TrainedTensor> tensors) -> absl::StatusOr<DenoiserObjective> {
        WANLITE_ASSIGN_OR_RETURN(
            std::unique_ptr<train::VelocityObjective> objective,
            train::VelocityObjective::Create(student, std::move(tensors), nullptr, data, velocity));
        train::Identity identity = objective->identity();
        return DenoiserObjective{std::move(objective), std::move(identity)};
      },
      context));
  context.metrics[training.component + ".error_before"] = before;
  context.metrics[training.component + ".error_after"] = error();
  return absl::OkStatus();
}

absl::Status SharedWork(const PassContext& context, const std::string& what, int64_t count,
                        const std::function<absl::Status(int64_t)>& work) {
  const int64_t rank = context.group != nullptr ? context.group->rank() : 0;
  const int64_t size = context.group != nullptr ? context.group->size() : 1;
  context.progress->Begin(what, count);
  absl::Status status;
  for (int64_t i = rank; status.ok() && i < count; i += size) {
    status = CheckCancelled(context.cancel);
    if (status.ok()) status = work(i);
    context.progress->Update(i + 1, "");
  }
  context.progress->End();
  WANLITE_RETURN_IF_ERROR(status);
  return context.group != nullptr ? context.group->Barrier() : absl::OkStatus();
}

int64_t PeakOfTraining(const ModelView& model, const std::vector<std::string>& components,
                       const train::LoopOptions& loop, int other_networks) {
  const int64_t per_value = train::TrainingBytesPerValue(loop, /*teacher=*/false) +
                            other_networks * static_cast<int64_t>(sizeof(float));
  int64_t stored = 0, largest = 0;
  for (const std::string& component : components) {
    int64_t values = 0;
    for (const NamedTensor& named : model.Tensors()) {
      if (model.ComponentOf(named.name).name != component) continue;
      values += named.tensor.numel();
      stored += static_cast<int64_t>(named.tensor.nbytes());
    }
    largest = std::max(largest, values);
  }
  return stored + per_value * largest;
}

}  // namespace wanlite::distill
