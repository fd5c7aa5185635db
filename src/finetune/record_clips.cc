// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/finetune/record_clips.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite::finetune {
namespace {

enum ClipSampleStream : uint64_t { kFirstLevel = 1, kClipNoise = 2, kNoCaption = 3 };
constexpr char kEmptyCaption[] = "no-caption";

// One sample before its values are made.
struct PlannedSample {
  std::string component;
  size_t denoiser = 0;
  int64_t number = 0;  // among those of its denoiser
  int64_t clip = 0;
  double sigma = 0;
  bool captioned = true;

  std::string Tensor(const char* value) const {
    return absl::StrCat(component, ".", absl::Dec(number, absl::kZeroPad6), ".", value);
  }
};

std::string ClipName(int64_t clip) {
  return absl::StrCat("clip-", absl::Dec(clip, absl::kZeroPad5));
}
std::string TextName(const PlannedSample& sample) {
  return absl::StrCat(sample.captioned ? ClipName(sample.clip) : kEmptyCaption, ".text");
}

absl::StatusOr<std::vector<PlannedSample>> PlanSamples(const ModelView& shapes, int64_t clips,
                                                       const RecordClipsRequest& request) {
  std::vector<std::string> denoisers;
  for (const Component& component : shapes.components()) {
    if (component.role == ComponentRole::kDenoiser) denoisers.push_back(component.name);
  }
  if (denoisers.empty()) return absl::NotFoundError("the model has no denoiser");
  const auto experts = static_cast<int64_t>(denoisers.size());
  const int64_t samples = request.samples > 0 ? request.samples : clips * experts;
  if (request.samples < 0 || samples < experts) {
    return absl::InvalidArgumentError(absl::StrCat(request.samples, " samples of ", experts,
                                                   " denoisers, wanted at least one of each"));
  }
  std::vector<PlannedSample> planned;
  for (size_t d = 0; d < denoisers.size(); ++d) {
    const NoiseLevels levels =
        LevelsOf(denoisers[d], request.settings.boundary_ratio, request.settings.shift);
    const double first = Random(MixSeed(request.seed, {kFirstLevel, d})).Uniform();
    const int64_t count = samples / experts + (static_cast<int64_t>(d) < samples % experts ? 1 : 0);
    for (int64_t i = 0; i < count; ++i) {
      PlannedSample sample;
      sample.component = denoisers[d];
      sample.denoiser = d;
      sample.number = i;
      sample.clip = i % clips;
      // Multiples of the golden ratio, which stay evenly spread however many there are, and meet
      // each clip at other levels when its turn comes again.
      const double place = first + static_cast<double>(i) * 0.6180339887498949;
      sample.sigma = SigmaAt(levels, place - std::floor(place));
      sample.captioned =
          Random(MixSeed(request.seed, {kNoCaption, d, static_cast<uint64_t>(i)})).Uniform() >=
          request.caption_dropout;
      planned.push_back(std::move(sample));
    }
  }
  return planned;
}

SampleSetInfo InfoOf(const Runner& runner, const CaptionedClips& clips,
                     const RecordClipsRequest& request) {
  nlohmann::ordered_json json;
  json["clips"] = clips.fingerprint();
  json["samples"] = request.samples;
  json["frames"] = request.size.frames;
  json["height"] = request.size.height;
  json["width"] = request.size.width;
  json["shift"] = request.settings.shift;
  json["boundary"] = request.settings.boundary_ratio;
  json["caption_dropout"] = request.caption_dropout;
  SampleSetInfo info{runner.folder().fingerprint(), request.seed, json.dump(), {}};
  for (int64_t i = 0; i < clips.size(); ++i) info.prompts.push_back(clips.caption(i));
  return info;
}

std::vector<SampleInfo> InfosOf(const std::vector<PlannedSample>& planned) {
  std::vector<SampleInfo> infos;
  for (const PlannedSample& sample : planned) {
    SampleInfo info;
    info.component = sample.component;
    info.prompt = sample.clip;
    info.branch = sample.captioned ? "conditional" : "negative";
    info.timestep = 1000 * sample.sigma;
    for (const char* value : {"hidden_states", "timestep", kTargetValue}) {
      info.values[value] = sample.Tensor(value);
    }
    info.values["encoder_hidden_states"] = TextName(sample);
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace

absl::StatusOr<RecordReport> RecordClips(Env& env, Runner& runner, CaptionedClips& clips,
                                         const RecordClipsRequest& request, absl::string_view out,
                                         ProgressSink& progress, const CancellationToken* cancel) {
  if (!(request.caption_dropout >= 0 && request.caption_dropout < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("caption_dropout is ", request.caption_dropout, ", but must be in [0, 1)"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<PlannedSample> planned,
                           PlanSamples(runner.shapes(), clips.size(), request));
  std::map<int64_t, std::vector<const PlannedSample*>> by_clip;
  bool all_captioned = true;
  for (const PlannedSample& sample : planned) {
    by_clip[sample.clip].push_back(&sample);
    all_captioned = all_captioned && sample.captioned;
  }
  WANLITE_ASSIGN_OR_RETURN(ClipEncoder encoder, ClipEncoder::Make(runner));
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<SampleSetWriter> writer,
                           SampleSetWriter::Create(env, out, InfoOf(runner, clips, request)));
  RecordReport report;
  report.settings = request.settings;
  report.resumed = writer->complete();
  const auto write = [&]() -> absl::Status {
    if (!all_captioned && !writer->HasFile(kEmptyCaption)) {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor text, encoder.Text(""));
      WANLITE_RETURN_IF_ERROR(
          writer->WriteFile(kEmptyCaption, {{absl::StrCat(kEmptyCaption, ".text"), text}}));
    }
    int64_t done = 0;
    for (const auto& [clip, samples] : by_clip) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
      progress.Update(++done, "");
      if (writer->HasFile(ClipName(clip))) {
        report.resumed = true;
        continue;
      }
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor latents,
                               encoder.Latents(clips, clip, request.size));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor text, encoder.Text(clips.caption(clip)));
      std::vector<NamedTensor> tensors = {{absl::StrCat(ClipName(clip), ".text"), text}};
      for (const PlannedSample* sample : samples) {
        const uint64_t seed = MixSeed(
            request.seed, {kClipNoise, sample->denoiser, static_cast<uint64_t>(sample->number)});
        WANLITE_ASSIGN_OR_RETURN(const Values values, CatchTorch([&] {
                                   return NoisyLatents(latents, text, sample->sigma, seed);
                                 }));
        for (const char* value : {"hidden_states", "timestep", kTargetValue}) {
          tensors.push_back({sample->Tensor(value), values.at(value).contiguous()});
        }
      }
      WANLITE_RETURN_IF_ERROR(writer->WriteFile(ClipName(clip), tensors));
    }
    return writer->Finish(InfosOf(planned));
  };
  if (!writer->complete()) {
    progress.Begin("encode clips", static_cast<int64_t>(by_clip.size()));
    const absl::Status written = write();
    progress.End();
    encoder.Unload();
    WANLITE_RETURN_IF_ERROR(written);
  }
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, out));
  for (const std::string& name : set.components()) report.samples[name] = set.size(name);
  report.fingerprint = set.fingerprint();
  report.bytes = set.bytes();
  return report;
}

}  // namespace wanlite::finetune
