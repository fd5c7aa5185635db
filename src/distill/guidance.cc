// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/guidance.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/distill/guided_options.h"
#include "src/distill/guided_samples.h"
#include "src/train/component_training.h"
#include "src/train/held_out.h"
#include "src/train/loop_options.h"
#include "wanlite/checkpoint.h"
#include "wanlite/model_library.h"
#include "wanlite/registry.h"
#include "wanlite/sampling.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

enum DistillGuidanceStream : uint64_t { kGuidanceOrder = 1 };
// Samples whose targets are computed, and written, at a time.
constexpr int64_t kTargetsPerFile = 32;

// Recorded inputs with what the teacher makes of them.
class GuidedTargets : public Dataset {
 public:
  GuidedTargets(const distill::PromptSamples& samples, std::string fingerprint)
      : samples_(samples), fingerprint_(std::move(fingerprint)) {}

  // Computes what is not there yet.
  absl::Status Fill(const std::string& dir, const Component& teacher, double guidance,
                    const at::Tensor& negative, const PassContext& context) const {
    WANLITE_RETURN_IF_ERROR(context.env->CreateFolders(dir));
    const int64_t files = (samples_.size() + kTargetsPerFile - 1) / kTargetsPerFile;
    return distill::SharedWork(context, absl::StrCat("guided targets of ", teacher.name), files,
                               [&](int64_t file) -> absl::Status {
                                 const int64_t first = file * kTargetsPerFile;
                                 const std::string path = PathOf(dir, first);
                                 if (context.env->FileExists(path)) return absl::OkStatus();
                                 return FillFile(*context.env, path, teacher, guidance, negative,
                                                 first);
                               });
  }

  // After Fill().
  absl::Status Open(Env& env, const std::string& dir) {
    for (int64_t first = 0; first < samples_.size(); first += kTargetsPerFile) {
      WANLITE_ASSIGN_OR_RETURN(files_.emplace_back(), OpenSafetensors(env, PathOf(dir, first)));
    }
    return absl::OkStatus();
  }

  int64_t size() const override { return samples_.size(); }
  absl::StatusOr<Values> Read(int64_t i, uint64_t) const override {
    WANLITE_ASSIGN_OR_RETURN(Values values, samples_.Read(i));
    WANLITE_ASSIGN_OR_RETURN(values[kTargetValue],
                             files_[static_cast<size_t>(i / kTargetsPerFile)]->Read(NameOf(i)));
    return values;
  }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  static std::string PathOf(const std::string& dir, int64_t first) {
    return JoinPath(dir,
                    absl::StrCat("targets-", absl::Dec(first, absl::kZeroPad6), ".safetensors"));
  }
  static std::string NameOf(int64_t i) { return absl::StrCat("target.", i); }

  absl::Status FillFile(Env& env, const std::string& path, const Component& teacher,
                        double guidance, const at::Tensor& negative, int64_t first) const {
    std::vector<NamedTensor> targets;
    for (int64_t i = first; i < std::min(samples_.size(), first + kTargetsPerFile); ++i) {
      WANLITE_ASSIGN_OR_RETURN(const Values values, samples_.Read(i));
      const at::Tensor& x = values.at(distill::kLatents);
      const at::Tensor sigma = (values.at(distill::kTimestep).to(at::kFloat) / distill::kTimesteps)
                                   .reshape({-1})
                                   .expand({x.size(0)});
      targets.push_back({NameOf(i), distill::GuidedVelocity(teacher, guidance, x, sigma,
                                                            values.at(distill::kText), negative)
                                        .contiguous()});
    }
    return WriteSafetensors(env, path, targets).status();
  }

  const distill::PromptSamples& samples_;
  const std::string fingerprint_;
  std::vector<std::shared_ptr<const TensorSource>> files_;
};

class DistillGuidance : public ModelPass {
 public:
  explicit DistillGuidance(DistillGuidanceOptions options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "distill-guidance"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kRecovers; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    return distill::GuidedDenoisers(model);
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    WANLITE_RETURN_IF_ERROR(train::CheckTrainPatterns(model, wanted, Patterns()));
    WANLITE_ASSIGN_OR_RETURN(const SamplingDefaults own, ReadSampling(model.pipeline()));
    PassNotes notes;
    for (const std::string& component : wanted) {
      WANLITE_ASSIGN_OR_RETURN(notes.trainings.emplace_back(),
                               distill::NoteDenoiser(model, component, options_.loop(), Patterns(),
                                                     options_.recompute(), "without guidance"));
    }
    notes.peak_memory_bytes = distill::PeakOfTraining(model, wanted, loop(), /*other_networks=*/0);
    notes.notes.push_back(absl::StrCat(
        "each of ", wanted.size(), " denoisers is trained for ", loop().steps, " steps of ",
        loop().batch,
        " samples to give in one evaluation what its teacher gives with guidance in two"));
    if (!model.pipeline().model_index.empty() && (own.guidance != 1 || own.guidance_2 != 1)) {
      notes.value_changes.push_back(
          {"model_index.json", absl::StrCat("guidance ", distill::GuidanceText(own), " -> 1")});
    }
    return notes;
  }

  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    WANLITE_ASSIGN_OR_RETURN(
        const std::vector<distill::GuidedExpert> experts,
        distill::ExpertsOfTeacher(context, name(), Ref(), distill::GuidanceOf(options_)));
    auto decision = std::make_unique<DistillGuidanceDecision>();
    for (const std::string& component : wanted) {
      WANLITE_RETURN_IF_ERROR(distill::PromptSamples::Open(*context.samples, component).status());
      const distill::GuidedExpert* expert = distill::FindExpert(experts, component);
      if (expert == nullptr) {
        return absl::FailedPreconditionError(
            absl::StrCat("the teacher has no denoiser '", component, "'"));
      }
      if (expert->guidance == 1) {
        return absl::FailedPreconditionError(
            absl::StrCat("the teacher's '", component,
                         "' is sampled without guidance: there is nothing to fold "
                         "in; give guidance to say otherwise"));
      }
      WANLITE_RETURN_IF_ERROR(distill::NegativeText(*context.samples, component).status());
      DistillGuidanceDecision::Expert& entry = *decision->add_experts();
      entry.set_component(component);
      entry.set_guidance(expert->guidance);
    }
    return decision;
  }

  absl::Status Restructure(ModelView& model, const Message*) const override {
    WANLITE_ASSIGN_OR_RETURN(PipelineFiles files, WithoutGuidance(model.pipeline()));
    model.SetPipeline(std::move(files));
    return absl::OkStatus();
  }

  absl::Status RunModel(ModelView& model, const Message* decision,
                        PassContext& context) const override {
    WANLITE_RETURN_IF_ERROR(ScratchOf(context, name()).status());
    const auto& decided = static_cast<const DistillGuidanceDecision&>(*decision);
    for (int i = 0; i < decided.experts_size(); ++i) {
      WANLITE_RETURN_IF_ERROR(Annotate(RunExpert(model, decided.experts(i), i, context),
                                       decided.experts(i).component()));
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Explain(const Message* decision) const override {
    std::vector<std::string> lines;
    if (decision == nullptr) return lines;
    for (const auto& expert : static_cast<const DistillGuidanceDecision*>(decision)->experts()) {
      lines.push_back(absl::StrCat(expert.component(), ": guidance ", expert.guidance(),
                                   " is folded in; sampled with guidance 1 from here on"));
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

  absl::Status RunExpert(ModelView& model, const DistillGuidanceDecision::Expert& expert,
                         int number, PassContext& context) const {
    const std::string& component = expert.component();
    WANLITE_ASSIGN_OR_RETURN(const distill::PromptSamples samples,
                             distill::PromptSamples::Open(*context.samples, component));
    WANLITE_ASSIGN_OR_RETURN(const std::string taught_by, context.models->Fingerprint(Ref()));
    GuidedTargets targets(samples, absl::StrCat(samples.fingerprint(), "/", taught_by, "/guidance ",
                                                expert.guidance()));
    const std::string dir = JoinPath(context.scratch, absl::StrCat(component, ".targets"));
    {
      WANLITE_ASSIGN_OR_RETURN(ModelView teacher,
                               train::OpenTeacher(context, name(), Ref(), component));
      WANLITE_RETURN_IF_ERROR(train::LoadTeacher(teacher));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor negative,
                               distill::NegativeText(*context.samples, component));
      WANLITE_RETURN_IF_ERROR(targets.Fill(dir, *teacher.FindComponent(component),
                                           expert.guidance(), negative, context));
    }
    WANLITE_RETURN_IF_ERROR(targets.Open(*context.env, dir));
    const train::DataSubset data(targets, samples.Trained());
    const train::DataSubset held(targets, samples.Held());
    distill::DenoiserTraining training{component,  component, &options_.loop(),     loop(),
                                       Patterns(), {},        options_.keep_zeros()};
    return distill::TrainOnTargets(
        model, training, MixSeed(context.seed, {kGuidanceOrder, static_cast<uint64_t>(number)}),
        options_.recompute(), data, held.size() > 0 ? held : data, context);
  }

  const DistillGuidanceOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeDistillGuidance(const DistillGuidanceOptions& options) {
  DistillGuidanceOptions resolved = options;
  WANLITE_RETURN_IF_ERROR(distill::CheckGuidance(distill::GuidanceOf(resolved)));
  WANLITE_RETURN_IF_ERROR(distill::CheckTeacher(resolved.teacher(), resolved.teacher_path()));
  WANLITE_RETURN_IF_ERROR(distill::CheckLoop(resolved.has_loop(), resolved.loop()));
  if (!resolved.has_keep_zeros()) resolved.set_keep_zeros(true);
  return std::make_unique<DistillGuidance>(std::move(resolved));
}

}  // namespace wanlite
