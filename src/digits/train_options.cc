// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/train_options.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "src/core/input_limits.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/digits/digits_clip.h"
#include "src/digits/dit_training.h"
#include "src/digits/vae_training.h"
#include "src/digits/video_trunk.h"
#include "src/model/wan/sampler.h"
#include "src/train/loop_options.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite::digits {
namespace {

absl::Status BadOption(absl::string_view field, double found, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", found, ", but must be ", wanted));
}

// Network and sampler as the parsers of exported configs will see them.
absl::Status CheckExport(const DigitsTrainOptions& options) {
  const DitTrainingOptions& dit = options.dit();
  const auto config =
      wan::ParseDitConfig(wan::DitConfigJson(MakeDitConfig(dit, options.vae().z_dim())));
  if (!config.ok()) return Annotate(config.status(), "dit");
  wan::SampleOptions sampling;
  sampling.scheduler.shift = dit.sample_shift();
  sampling.num_steps = dit.sample_steps();
  sampling.guidance = dit.sample_guidance();
  sampling.boundary_ratio = dit.boundary();
  return Annotate(wan::PlanSampling(sampling).status(), "dit");
}

absl::Status CheckClipOptions(const DigitsTrainOptions& options) {
  DigitsClip::Config config;
  config.width = options.clip().width();
  config.embed_dim = options.clip().embed_dim();
  config.text_length = options.dit().text_length();
  config.text = MakeTextConfig(options.dit(), options.dit().vocabulary());
  const nn::HollowGuard hollow;
  return Annotate(DigitsClip::Create(config).status(), "clip");
}

}  // namespace

absl::StatusOr<DigitsTrainOptions> LoadDigitsOptions(Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(path, kMaxRecipeBytes));
  DigitsTrainOptions options;
  WANLITE_RETURN_IF_ERROR(ParseTextProto(text, path, options));
  return options;
}

absl::Status CheckDigitsOptions(const DigitsTrainOptions& options,
                                const std::vector<std::string>& stages) {
  const auto any = [&](std::initializer_list<const char*> wanted) {
    return std::any_of(wanted.begin(), wanted.end(), [&](const char* stage) {
      return std::find(stages.begin(), stages.end(), stage) != stages.end();
    });
  };
  WANLITE_ASSIGN_OR_RETURN(const ClipGeometry geometry, CheckedGeometry(options.data()));
  if (any({"vae", "latents", "dit", "high", "low", "export", "check"})) {
    WANLITE_RETURN_IF_ERROR(CheckVaeOptions(options.vae(), geometry));
  }
  if (any({"vae"}))
    WANLITE_RETURN_IF_ERROR(
        train::CheckLoopOptions(train::LoopOf(options.vae().loop()), "vae.loop"));
  if (any({"latents", "clip", "dit", "high", "low", "export", "check"})) {
    WANLITE_RETURN_IF_ERROR(CheckDitOptions(options.dit()));
  }
  if (any({"latents", "dit", "high", "low", "export", "check"})) {
    WANLITE_RETURN_IF_ERROR(CheckExport(options));
  }
  if (any({"clip", "classifier", "check"}) && (geometry.frames < 5 || geometry.size < 32)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data: clips of ", geometry.frames, " frames of ", geometry.size,
                     " pixels are too small to be read; wanted at least 5 frames of 32"));
  }
  if (any({"clip"})) {
    WANLITE_RETURN_IF_ERROR(CheckClipOptions(options));
    WANLITE_RETURN_IF_ERROR(
        train::CheckLoopOptions(train::LoopOf(options.clip().loop()), "clip.loop"));
  }
  if (any({"dit"}))
    WANLITE_RETURN_IF_ERROR(
        train::CheckLoopOptions(train::LoopOf(options.dit().loop()), "dit.loop"));
  if (any({"high", "low"})) {
    WANLITE_RETURN_IF_ERROR(
        train::CheckLoopOptions(train::LoopOf(options.dit().expert_loop()), "dit.expert_loop"));
  }
  if (any({"classifier"})) {
    WANLITE_RETURN_IF_ERROR(
        Annotate(VideoTrunk::CheckWidth(options.classifier().width()), "classifier"));
    WANLITE_RETURN_IF_ERROR(
        train::CheckLoopOptions(train::LoopOf(options.classifier().loop()), "classifier.loop"));
    const double third = options.classifier().third_weight();
    if (!(third >= 0 && third <= 100)) {
      return BadOption("classifier.third_weight", third, "0 to 100");
    }
  }
  if (any({"check"}) && options.check().prompts_per_language() < 1) {
    return BadOption("check.prompts_per_language",
                     static_cast<double>(options.check().prompts_per_language()), "at least 1");
  }
  return absl::OkStatus();
}

DigitsTrainOptions ObjectiveOptions(const DigitsTrainOptions& options, absl::string_view stage) {
  DigitsTrainOptions objective;
  objective.set_seed(options.seed());
  *objective.mutable_data() = options.data();
  objective.mutable_data()->clear_scans_file();  // what is in it counts, not where it lies
  if (stage == "vae") {
    *objective.mutable_vae() = options.vae();
    objective.mutable_vae()->clear_loop();
  }
  if (stage == "classifier") {
    *objective.mutable_classifier() = options.classifier();
    objective.mutable_classifier()->clear_loop();
  }
  const DitTrainingOptions& dit = options.dit();
  if (stage == "clip") {
    *objective.mutable_clip() = options.clip();
    objective.mutable_clip()->clear_loop();
    DitTrainingOptions& text = *objective.mutable_dit();
    text.set_text_length(dit.text_length());
    text.set_text_dim(dit.text_dim());
    text.set_text_layers(dit.text_layers());
    text.set_text_heads(dit.text_heads());
    text.set_text_ffn_dim(dit.text_ffn_dim());
    text.set_vocabulary(dit.vocabulary());
  }
  if (stage == "dit" || stage == "high" || stage == "low") {
    DitTrainingOptions& shaping = *objective.mutable_dit();
    shaping = dit;
    shaping.clear_loop();
    shaping.clear_expert_loop();
    shaping.clear_sample_shift();
    shaping.clear_sample_steps();
    shaping.clear_sample_guidance();
    if (stage == "dit") shaping.clear_boundary();  // all noise levels
  }
  return objective;
}

}  // namespace wanlite::digits
