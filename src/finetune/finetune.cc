// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/finetune/finetune.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/core/random.h"
#include "src/finetune/captioned_clips.h"
#include "src/lora/add_lora.h"
#include "src/proto/distillation.pb.h"
#include "src/train/loop_options.h"
#include "wanlite/pipeline.h"
#include "wanlite/process_group.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/runner.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"

namespace wanlite::finetune {
namespace {

using google::protobuf::Message;

constexpr size_t kReportedSteps = 20;
enum FinetuneStream : uint64_t { kComponentData = 1 };

// What the pass works with beside its options: not part of what it is.
struct Sources {
  Runner* runner = nullptr;  // for VAE and text encoder; its networks are loaded when needed
  CaptionedClips* clips = nullptr;
  std::vector<FinetuneReport>* reports = nullptr;
};

class FinetunePass : public ModelPass {
 public:
  FinetunePass(FinetuneOptions options, const Sources& sources)
      : options_(std::move(options)), sources_(sources) {}

  absl::string_view name() const override { return "finetune"; }
  const Message& options() const override { return options_; }

  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    std::vector<std::string> there;
    for (const Component& component : model.components()) {
      if (component.role == ComponentRole::kDenoiser) there.push_back(component.name);
    }
    if (there.empty()) return absl::NotFoundError("the model has no denoiser to train");
    if (options_.components().empty()) return there;
    std::vector<std::string> wanted(options_.components().begin(), options_.components().end());
    for (const std::string& name : wanted) {
      if (std::find(there.begin(), there.end(), name) == there.end()) {
        return absl::NotFoundError(absl::StrCat("the model has no denoiser '", name,
                                                "'; it has: ", absl::StrJoin(there, ", ")));
      }
    }
    return wanted;
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    PassNotes notes;
    for (const std::string& pattern : options_.include()) {
      bool fits = false;
      for (const NamedTensor& named : model.Tensors()) {
        fits = fits || GlobMatch(pattern, named.name);
      }
      if (!fits) {
        return absl::InvalidArgumentError(
            absl::StrCat("the pattern \"", pattern, "\" fits no tensor of the model"));
      }
    }
    // fp32 weights, gradients, two moments, and the average.
    const int64_t per_value = options_.loop().ema_decay() > 0 ? 20 : 16;
    const std::vector<std::string> include(options_.include().begin(), options_.include().end());
    for (const std::string& name : wanted) {
      int64_t bytes = 0;
      for (const NamedTensor& named : model.Tensors()) {
        if (model.ComponentOf(named.name).name != name) continue;
        const bool trained = include.empty() || AnyGlobMatches(include, named.name);
        bytes += trained ? per_value * named.tensor.numel()
                         : static_cast<int64_t>(named.tensor.nbytes());
      }
      notes.peak_memory_bytes = std::max(notes.peak_memory_bytes, bytes);
    }
    return notes;
  }

  absl::Status RunModel(ModelView& model, const Message*, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, name()));
    const std::string data = JoinPath(scratch, "clips");
    const ClipSize size{options_.frames(), options_.height(), options_.width()};
    const bool alone = context.group == nullptr;
    if (alone || context.group->rank() == 0) {
      WANLITE_RETURN_IF_ERROR(EncodeClips(*context.env, data, *sources_.runner, *sources_.clips,
                                          size, *context.progress, context.cancel));
    }
    if (!alone) WANLITE_RETURN_IF_ERROR(context.group->Barrier());
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, components(model));
    for (const std::string& component : wanted) {
      WANLITE_RETURN_IF_ERROR(
          Annotate(TrainOne(model, component, data, scratch, context), component));
    }
    context.metrics["clips"] = static_cast<double>(sources_.clips->size());
    return absl::OkStatus();
  }

 private:
  absl::Status TrainOne(ModelView& model, const std::string& component, const std::string& data,
                        const std::string& scratch, PassContext& context) const {
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<Dataset> clips,
        OpenEncodedClips(*context.env, data, sources_.clips->size(),
                         LevelsOf(component, options_.boundary(), options_.shift()),
                         options_.caption_dropout(), sources_.clips->fingerprint()));
    WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters,
                             train::MasterWeights::Of(model, component));
    train::TensorSelector selector;
    selector.components = {component};
    selector.include.assign(options_.include().begin(), options_.include().end());
    selector.exclude.assign(options_.exclude().begin(), options_.exclude().end());
    selector.muon = options_.loop().muon();
    WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> tensors,
                             train::TrainableTensors(model, selector));
    // What is not selected takes no gradients, which would be computed for nothing.
    for (const NamedTensor& named : model.Tensors()) {
      if (model.ComponentOf(named.name).name == component) named.tensor.set_requires_grad(false);
    }
    for (const train::TrainedTensor& trained : tensors) trained.tensor.set_requires_grad(true);

    train::VelocityOptions velocity;
    velocity.batch = options_.loop().batch();
    velocity.seed = MixSeed(context.seed, {kComponentData, component == kLowNoise});
    velocity.recompute = options_.recompute();
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<train::VelocityObjective> objective,
        train::VelocityObjective::Create(*model.FindComponent(component), std::move(tensors),
                                         /*teacher=*/nullptr, *clips, velocity));
    train::TrainRun run;
    run.env = context.env;
    run.what = component;
    run.state_dir = JoinPath(scratch, absl::StrCat(component, ".state"));
    run.identity = objective->identity();
    run.group = context.group;
    run.progress = context.progress;
    run.cancel = context.cancel;
    std::vector<double> losses;
    run.observe = [&](const train::StepReport& step) {
      if (!step.skipped) losses.push_back(step.loss);
    };
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                             train::Train(train::LoopOf(options_.loop()), *objective, run));
    WANLITE_RETURN_IF_ERROR(masters.Restore());

    FinetuneReport told{component, report.first_step, report.steps, 0, 0, report.seconds};
    const size_t shown = std::min(kReportedSteps, (losses.size() + 1) / 2);
    for (size_t i = 0; i < shown; ++i) {
      told.first_loss += losses[i] / static_cast<double>(shown);
      told.last_loss += losses[losses.size() - 1 - i] / static_cast<double>(shown);
    }
    if (sources_.reports != nullptr) sources_.reports->push_back(told);
    // Of the run as a whole: what a killed and continued one did is the same.
    context.metrics[absl::StrCat(component, ".steps")] = static_cast<double>(report.steps);
    context.metrics[absl::StrCat(component, ".skipped_steps")] =
        static_cast<double>(report.skipped);
    return absl::OkStatus();
  }

  const FinetuneOptions options_;
  const Sources sources_;
};

// The pass before the training, as text of a recipe; empty when the model itself is trained.
std::string AdapterPass(const FinetuneRun& run, const FinetuneOptions& options) {
  if (run.lora_rank == 0) return "";
  AddLoraOptions add;
  add.set_rank(run.lora_rank);
  if (run.lora_alpha != 0) add.set_alpha(run.lora_alpha);
  for (const std::string& component : options.components()) {
    add.mutable_linears()->add_components(component);
  }
  return absl::StrCat("\npasses { add_lora {\n", ResolvedText(add), "} }");
}

absl::Status CheckOptions(const FinetuneOptions& options) {
  WANLITE_RETURN_IF_ERROR(CheckLoopOptions(train::LoopOf(options.loop()), "loop"));
  const auto bad = [](absl::string_view field, double found, absl::string_view wanted) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is ", found, ", but must be ", wanted));
  };
  if (!(options.caption_dropout() >= 0 && options.caption_dropout() < 1)) {
    return bad("caption_dropout", options.caption_dropout(), "in [0, 1)");
  }
  if (!(options.shift() >= 0 && options.shift() <= 1000)) {
    return bad("shift", options.shift(), "in [0, 1000]");
  }
  const std::pair<const char*, int64_t> sizes[] = {
      {"frames", options.frames()}, {"height", options.height()}, {"width", options.width()}};
  for (const auto& [name, size] : sizes) {
    if (size < 0)
      return bad(name, static_cast<double>(size), "at least 1, or 0 for the clips' own");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<FinetuneReport>> Finetune(const FinetuneRun& run) {
  FinetuneOptions options = run.options;
  if (run.lora_rank == 0 && run.lora_alpha != 0) {
    return absl::InvalidArgumentError("a LoRA alpha is given without a LoRA rank");
  }
  for (const std::string& pattern : options.include()) {
    if (run.lora_rank == 0 || absl::StrContains(pattern, "lora_")) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "include \"", pattern,
        "\" takes more than adapters, which alone are trained with a LoRA rank: end it "
        "in .lora_*, as in *.self_attn.*.lora_*"));
  }
  if (run.lora_rank != 0 && options.include().empty()) options.add_include("*.lora_*");
  WANLITE_RETURN_IF_ERROR(CheckOptions(options));
  OpenOptions open;
  open.config_path = run.config;
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(*run.env, run.model, open, *run.architectures));
  RunnerOptions runner_options;
  runner_options.config_path = run.config;
  runner_options.progress = run.progress;
  runner_options.cancel = run.cancel;
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<Runner> runner,
                           Runner::Open(*run.env, run.model, *run.architectures, runner_options));
  for (const char* component : {"vae", "text_encoder"}) {
    WANLITE_RETURN_IF_ERROR(runner->folder().CheckHas(component));
  }
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings settings, runner->Resolve({}));
  WANLITE_ASSIGN_OR_RETURN(CaptionedClips clips,
                           CaptionedClips::Open(*run.env, run.clips, run.cancel));
  if (options.shift() == 0) options.set_shift(settings.shift);
  options.set_boundary(settings.boundary_ratio);
  options.set_data_fingerprint(clips.fingerprint());

  std::vector<FinetuneReport> reports;
  Sources sources;
  sources.runner = runner.get();
  sources.clips = &clips;
  sources.reports = &reports;
  PassRegistry passes;
  WANLITE_RETURN_IF_ERROR(
      passes.Register(std::string(FinetuneOptions::descriptor()->full_name()),
                      [&](const Message& message) -> absl::StatusOr<std::unique_ptr<Pass>> {
                        return std::make_unique<FinetunePass>(
                            static_cast<const FinetuneOptions&>(message), sources);
                      }));
  WANLITE_RETURN_IF_ERROR(RegisterPass<AddLoraOptions>(passes, MakeAddLora));
  const std::string text =
      absl::StrCat("name: \"finetune\"\nseed: ", run.seed, AdapterPass(run, options),
                   "\npasses {\n  custom {\n    [type.googleapis.com/wanlite.FinetuneOptions] {\n",
                   ResolvedText(options), "    }\n  }\n}\n");
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Parse(text, "fine-tuning", passes));
  CompressOptions compress;
  compress.out_dir = run.out_dir;
  compress.run_dir = run.run_dir;
  compress.restart = run.restart;
  compress.progress = run.progress;
  compress.cancel = run.cancel;
  compress.group = run.group;
  if (run.group != nullptr && run.group->rank() > 0) {
    WANLITE_RETURN_IF_ERROR(AssistFolder(*run.env, recipe, folder, *run.architectures, compress));
    return reports;
  }
  WANLITE_RETURN_IF_ERROR(
      CompressFolder(*run.env, recipe, folder, *run.architectures, compress).status());
  return reports;
}

}  // namespace wanlite::finetune
