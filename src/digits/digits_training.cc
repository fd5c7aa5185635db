// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_training.h"

#include <atomic>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/file_tools.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/core/random.h"
#include "src/core/threads.h"
#include "src/digits/digits_classifier.h"
#include "src/digits/digits_clip.h"
#include "src/digits/digits_model.h"
#include "src/digits/dit_training.h"
#include "src/digits/render_clips.h"
#include "src/digits/train_options.h"
#include "src/digits/vae_training.h"
#include "src/model/wan/tokenizer.h"
#include "src/model/wan/tokenizer_trainer.h"
#include "src/train/loop_options.h"
#include "src/train/parameters.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::digits {
namespace {

enum StageSeed : uint64_t {
  kVaeInit = 11,
  kVaeData,
  kVaeEvaluation,
  kLatentClips,
  kDitInit,
  kTextInit,
  kDitData,
  kHighData,
  kLowData,
  kClassifierInit,
  kClassifierData,
  kClassifierEvaluation,
  kCheckPrompts,
  kCheckNoise,
  kClipInit,
  kClipData,
  kClipEvaluation,
};

constexpr int64_t kEncodeBatch = 4, kEncodeBatchOnDevice = 128;
constexpr int64_t kCheckBatch = 8;

std::string TextTowerName(const std::string& name) { return absl::StrCat("text.", name); }

nlohmann::ordered_json ToJson(const ReadingAccuracy& accuracy) {
  return {{"clips", accuracy.clips},
          {"digit", accuracy.digit},
          {"direction", accuracy.direction},
          {"digit_and_direction", accuracy.digit_and_direction},
          {"colour", accuracy.colour},
          {"digit_in_thirds", accuracy.digit_in_third},
          {"digit_in_all_thirds", accuracy.digit_in_all_thirds},
          {"digit_consistency", accuracy.digit_consistency}};
}

std::string ToText(const ReadingAccuracy& accuracy) {
  return absl::StrFormat(
      "digit %.1f %%, direction %.1f %%, both %.1f %%, colour %.1f %% of %d clips; digit by thirds "
      "of the clip %.1f, %.1f, %.1f %%, right in all %.1f %%, the same in all %.1f %%",
      100 * accuracy.digit, 100 * accuracy.direction, 100 * accuracy.digit_and_direction,
      100 * accuracy.colour, accuracy.clips, 100 * accuracy.digit_in_third[0],
      100 * accuracy.digit_in_third[1], 100 * accuracy.digit_in_third[2],
      100 * accuracy.digit_in_all_thirds, 100 * accuracy.digit_consistency);
}

// Calls task(i) for 0 <= i < count on so many threads.
absl::Status ForEachInParallel(int threads, int64_t count, const CancellationToken* cancel,
                               const std::function<absl::Status(int64_t)>& task) {
  std::atomic<int64_t> next{0};
  return RunOnThreads(threads, [&](int) -> absl::Status {
    for (int64_t i = next++; i < count; i = next++) {
      absl::Status result = cancel != nullptr ? cancel->Check() : absl::OkStatus();
      if (result.ok()) result = CatchTorch([&]() -> absl::Status { return task(i); });
      if (result.ok()) continue;
      next = count;
      return result;
    }
    return absl::OkStatus();
  });
}

class Trainer {
 public:
  explicit Trainer(const DigitsTrainingRun& run)
      : run_(run), env_(*run.env), dit_options_(run.options.dit()) {}

  // Finds whatever a stage would refuse.
  absl::Status Prepare(const std::vector<std::string>& stages) {
    WANLITE_RETURN_IF_ERROR(CheckDigitsOptions(run_.options, stages));
    WANLITE_ASSIGN_OR_RETURN(geometry_, CheckedGeometry(run_.options.data()));
    WANLITE_ASSIGN_OR_RETURN(scans_, DigitScans::Load(env_, run_.scans_path));
    for (const std::string& stage : stages) {
      if (stage != "latents" && stage != "clip") continue;
      wan::TokenizerTrainerOptions options;
      options.vocabulary_size = dit_options_.vocabulary();
      WANLITE_ASSIGN_OR_RETURN(spiece_, wan::TrainTokenizer(AllCaptions(), options));
      WANLITE_ASSIGN_OR_RETURN(const wan::Tokenizer tokenizer, wan::Tokenizer::Parse(spiece_));
      WANLITE_RETURN_IF_ERROR(TableOfCaptions(tokenizer).status());
      break;
    }
    return env_.CreateFolders(run_.out_dir);
  }

  absl::Status Vae() {
    const VaeTrainingOptions& options = run_.options.vae();
    WANLITE_ASSIGN_OR_RETURN(const auto vae, MakeVae(options));
    InitVae(*vae, Seed(kVaeInit));
    vae->to(run_.device);
    VaeObjective objective(*vae, scans_, geometry_, options, Seed(kVaeData));
    WANLITE_ASSIGN_OR_RETURN(const train::TrainRun loop, LoopRun("vae"));
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                             train::Train(train::LoopOf(options.loop()), objective, loop));
    vae->to(at::kCPU);
    const double psnr =
        ReconstructionPsnr(*vae, scans_, geometry_, Split::kHeldOut, 16, Seed(kVaeEvaluation));
    Report(absl::StrFormat("vae: %d steps, %.0f s, loss %.5f, held-out PSNR %.2f dB", report.steps,
                           report.seconds, report.loss, psnr));
    return WriteSafetensors(env_, Path("vae.safetensors"), train::DetachedParameters(*vae))
        .status();
  }

  absl::Status Latents() {
    WANLITE_RETURN_IF_ERROR(WriteTokenizer());
    WANLITE_ASSIGN_OR_RETURN(const auto vae, MakeVae(run_.options.vae()));
    WANLITE_RETURN_IF_ERROR(train::LoadParameters(env_, Path("vae.safetensors"), *vae));
    const std::vector<ClipSpec> specs = TrainingSpecs();
    vae->to(run_.device);
    const int64_t size = run_.device.is_cpu() ? kEncodeBatch : kEncodeBatchOnDevice;
    const int64_t batches = (static_cast<int64_t>(specs.size()) + size - 1) / size;
    std::vector<at::Tensor> parts(batches);
    ProgressSink& progress = run_.progress != nullptr ? *run_.progress : SilentProgress();
    progress.Begin("encode clips", batches);
    std::mutex mutex;
    int64_t done = 0;
    const int cores = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
    const int threads = run_.device.is_cpu() ? cores : 1;
    const absl::Status status =
        ForEachInParallel(threads, batches, run_.cancel, [&](int64_t i) -> absl::Status {
          const at::NoGradGuard no_grad;
          const auto first = specs.begin() + i * size;
          const auto last =
              first + std::min<int64_t>(size, static_cast<int64_t>(specs.size()) - i * size);
          const at::Tensor clips =
              RenderClips(scans_, geometry_, {first, last}, /*windows=*/{}, run_.device);
          parts[i] = vae->Encode(clips).mean.contiguous().cpu();
          const std::lock_guard lock(mutex);
          progress.Update(++done, "");
          return absl::OkStatus();
        });
    progress.End();
    WANLITE_RETURN_IF_ERROR(status);
    const at::Tensor latents = at::cat(parts);  // [clips, z, f, h, w]
    const at::Tensor mean = latents.mean({0, 2, 3, 4}), std = latents.std({0, 2, 3, 4});
    Report(absl::StrFormat("latents: %d clips, standard deviations %.3f to %.3f", latents.size(0),
                           std.min().item<double>(), std.max().item<double>()));
    return WriteSafetensors(env_, Path("latents.safetensors"),
                            {{"latents", latents}, {"mean", mean}, {"std", std}})
        .status();
  }

  absl::Status Clip() {
    const ClipTrainingOptions& options = run_.options.clip();
    WANLITE_RETURN_IF_ERROR(WriteTokenizer());
    WANLITE_ASSIGN_OR_RETURN(const CaptionTable captions, Captions());
    WANLITE_ASSIGN_OR_RETURN(const wan::Tokenizer tokenizer, wan::Tokenizer::Parse(spiece_));
    DigitsClip::Config config;
    config.width = options.width();
    config.embed_dim = options.embed_dim();
    config.text_length = dit_options_.text_length();
    config.text = MakeTextConfig(dit_options_, tokenizer.vocabulary_size());
    auto network = DigitsClip::Create(config);
    if (!network.ok()) return Annotate(network.status(), "clip");
    (*network)->InitParameters(Seed(kClipInit));
    (*network)->to(run_.device);
    ClipObjective objective(**network, scans_, geometry_, captions, options.loop().batch(),
                            Seed(kClipData), options.loop().muon(), options.warp());
    WANLITE_ASSIGN_OR_RETURN(const train::TrainRun loop,
                             LoopRun("clip", {"tokenizer/spiece.model"}));
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                             train::Train(train::LoopOf(options.loop()), objective, loop));
    (*network)->to(at::kCPU);
    WANLITE_RETURN_IF_ERROR((*network)->Save(env_, Path("clip"), spiece_));
    Report(absl::StrFormat("clip: %d steps, %.0f s, loss %.4f", report.steps, report.seconds,
                           report.loss));
    WANLITE_ASSIGN_OR_RETURN(const DigitsClip::Loaded loaded, DigitsClip::Load(env_, Path("clip")));
    std::vector<ClipSpec> specs;
    for (uint64_t i = 0; i < 240; ++i) {
      specs.push_back(SampleClip(scans_, geometry_, Split::kHeldOut, Combinations::kAll,
                                 MixSeed(Seed(kClipEvaluation), {i})));
    }
    const at::Tensor video = RenderClips(scans_, geometry_, specs);
    for (int language = 0; language < kLanguages; ++language) {
      WANLITE_ASSIGN_OR_RETURN(
          const ZeroShotAccuracy accuracy,
          ReadByCaptions(loaded, video, specs, static_cast<Language>(language)));
      Report(absl::StrFormat(
          "clip: held-out real clips by the best of 240 captions, %s: digit %.1f %%, direction "
          "%.1f "
          "%%, colour %.1f %%, all three %.1f %% of %d clips",
          std::string(LanguageName(static_cast<Language>(language))), 100 * accuracy.digit,
          100 * accuracy.direction, 100 * accuracy.colour, 100 * accuracy.all, accuracy.clips));
    }
    return absl::OkStatus();
  }

  absl::Status CommonStart() {
    WANLITE_ASSIGN_OR_RETURN(const CaptionTable captions, Captions());
    WANLITE_ASSIGN_OR_RETURN(DitObjective::Data data, TrainingData(captions));
    wan::Dit dit(MakeDitConfig(dit_options_, data.latents.size(1)));
    dit.InitParameters(Seed(kDitInit));
    WANLITE_ASSIGN_OR_RETURN(const auto text, MakeText());
    text->InitParameters(Seed(kTextInit));
    // From the text tower of the contrastive encoder: telling captions apart is learnt there in
    // minutes.
    WANLITE_RETURN_IF_ERROR(
        train::LoadParameters(env_, Path("clip/model.safetensors"), *text, TextTowerName));
    dit.to(run_.device);
    text->to(run_.device);
    DitObjective objective(dit, text.get(), {}, std::move(data), dit_options_,
                           dit_options_.loop().batch(), NoiseRange::kAll, Seed(kDitData),
                           dit_options_.loop().muon());
    WANLITE_ASSIGN_OR_RETURN(
        const train::TrainRun loop,
        LoopRun("dit", {"vae.safetensors", "tokenizer/spiece.model", "clip/model.safetensors"}));
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                             train::Train(train::LoopOf(dit_options_.loop()), objective, loop));
    dit.to(at::kCPU);
    text->to(at::kCPU);
    Report(absl::StrFormat("dit: %d steps, %.0f s, loss %.5f", report.steps, report.seconds,
                           report.loss));
    WANLITE_RETURN_IF_ERROR(
        WriteSafetensors(env_, Path("text.safetensors"), train::DetachedParameters(*text))
            .status());
    return WriteSafetensors(env_, Path("dit.safetensors"), train::DetachedParameters(dit)).status();
  }

  absl::Status HighExpert() { return Expert(NoiseRange::kHigh); }
  absl::Status LowExpert() { return Expert(NoiseRange::kLow); }
  absl::Status Expert(NoiseRange range) {
    const std::string name = range == NoiseRange::kHigh ? "high" : "low";
    WANLITE_ASSIGN_OR_RETURN(const CaptionTable captions, Captions());
    WANLITE_ASSIGN_OR_RETURN(DitObjective::Data data, TrainingData(captions));
    wan::Dit dit(MakeDitConfig(dit_options_, data.latents.size(1)));
    WANLITE_RETURN_IF_ERROR(train::LoadParameters(env_, Path("dit.safetensors"), dit));
    WANLITE_ASSIGN_OR_RETURN(const auto text, MakeText());
    WANLITE_RETURN_IF_ERROR(train::LoadParameters(env_, Path("text.safetensors"), *text));
    at::Tensor embeddings;
    {
      at::NoGradGuard no_grad;
      embeddings = EncodeCaptions(*text, captions.ids, captions.mask).to(run_.device);
    }
    dit.to(run_.device);
    DitObjective objective(dit, nullptr, embeddings, std::move(data), dit_options_,
                           dit_options_.expert_loop().batch(), range,
                           Seed(range == NoiseRange::kHigh ? kHighData : kLowData),
                           dit_options_.expert_loop().muon());
    WANLITE_ASSIGN_OR_RETURN(const train::TrainRun loop,
                             LoopRun(name, {"vae.safetensors", "tokenizer/spiece.model",
                                            "dit.safetensors", "text.safetensors"}));
    WANLITE_ASSIGN_OR_RETURN(
        const train::TrainReport report,
        train::Train(train::LoopOf(dit_options_.expert_loop()), objective, loop));
    dit.to(at::kCPU);
    Report(absl::StrFormat("%s: %d steps, %.0f s, loss %.5f", name, report.steps, report.seconds,
                           report.loss));
    return WriteSafetensors(env_, Path(absl::StrCat(name, ".safetensors")),
                            train::DetachedParameters(dit))
        .status();
  }

  absl::Status Classifier() {
    const ClassifierTrainingOptions& options = run_.options.classifier();
    DigitsClassifier classifier(options.width());
    classifier.InitParameters(Seed(kClassifierInit));
    classifier.to(run_.device);
    ClassifierObjective objective(classifier, scans_, geometry_, options.loop().batch(),
                                  Seed(kClassifierData), options.loop().muon(),
                                  options.third_weight(), options.warp());
    WANLITE_ASSIGN_OR_RETURN(const train::TrainRun loop, LoopRun("classifier"));
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report,
                             train::Train(train::LoopOf(options.loop()), objective, loop));
    classifier.to(at::kCPU);
    std::vector<ReadingAccuracy> parts;
    for (uint64_t i = 0; i < 30; ++i) {
      std::vector<ClipSpec> specs;
      for (uint64_t k = 0; k < 20; ++k) {
        specs.push_back(SampleClip(scans_, geometry_, Split::kHeldOut, Combinations::kAll,
                                   MixSeed(Seed(kClassifierEvaluation), {i, k})));
      }
      parts.push_back(Read(classifier, RenderClips(scans_, geometry_, specs), specs));
    }
    Report(absl::StrFormat("classifier: %d steps, %.0f s, loss %.4f; held-out real clips: %s",
                           report.steps, report.seconds, report.loss, ToText(Join(parts))));
    return classifier.Save(env_, Path("classifier"));
  }

  absl::Status Export() {
    WANLITE_ASSIGN_OR_RETURN(const auto latents,
                             OpenSafetensors(env_, Path("latents.safetensors")));
    WANLITE_ASSIGN_OR_RETURN(const auto vae, MakeVae(run_.options.vae()));
    WANLITE_RETURN_IF_ERROR(train::LoadParameters(env_, Path("vae.safetensors"), *vae));
    WANLITE_RETURN_IF_ERROR(SetStatistics(*latents, *vae));
    WANLITE_ASSIGN_OR_RETURN(const auto text, MakeText());
    WANLITE_RETURN_IF_ERROR(train::LoadParameters(env_, Path("text.safetensors"), *text));
    const wan::DitConfig dit_config = MakeDitConfig(dit_options_, vae->config().z_dim);
    wan::Dit high(dit_config), low(dit_config);
    // An expert that is not trained yet is the common start, so that a first model can be had
    // early.
    for (auto& [name, dit] : {std::pair<const char*, wan::Dit&>{"high", high}, {"low", low}}) {
      const std::string own = Path(absl::StrCat(name, ".safetensors"));
      WANLITE_RETURN_IF_ERROR(
          train::LoadParameters(env_, env_.FileExists(own) ? own : Path("dit.safetensors"), dit));
    }
    DigitsModel model;
    model.vae = vae.get();
    model.text = text.get();
    model.high = &high;
    model.low = &low;
    WANLITE_ASSIGN_OR_RETURN(model.spiece,
                             env_.ReadFile(JoinPath(Path("tokenizer"), "spiece.model")));
    WANLITE_RETURN_IF_ERROR(ExportDigitsModel(env_, Path("model"), model, dit_options_, geometry_));
    Report(absl::StrCat("export: ", Path("model")));
    return absl::OkStatus();
  }

  // Reads the exported files, not those of training: what is shipped is what is checked.
  absl::Status Check() {
    WANLITE_ASSIGN_OR_RETURN(const auto classifier,
                             DigitsClassifier::Load(env_, Path("classifier")));
    WANLITE_ASSIGN_OR_RETURN(const auto latents,
                             OpenSafetensors(env_, Path("latents.safetensors")));
    WANLITE_ASSIGN_OR_RETURN(const auto vae, MakeVae(run_.options.vae()));
    WANLITE_ASSIGN_OR_RETURN(const auto text, MakeText());
    const wan::DitConfig dit_config = MakeDitConfig(dit_options_, vae->config().z_dim);
    wan::Dit high(dit_config), low(dit_config);
    DigitsModel model;
    model.vae = vae.get();
    model.text = text.get();
    model.high = &high;
    model.low = &low;
    WANLITE_RETURN_IF_ERROR(LoadDigitsModel(env_, Path("model"), model));
    WANLITE_RETURN_IF_ERROR(SetStatistics(*latents, *vae));
    WANLITE_ASSIGN_OR_RETURN(const wan::Tokenizer tokenizer,
                             wan::Tokenizer::Load(env_, JoinPath(Path("model"), "tokenizer")));

    nlohmann::ordered_json json;
    json["steps"] = dit_options_.sample_steps();
    json["guidance"] = dit_options_.sample_guidance();
    json["chance"] = {
        {"digit", 0.1}, {"direction", 0.25}, {"digit_and_direction", 0.025}, {"colour", 1.0 / 6}};
    std::vector<NamedTensor> samples;
    ProgressSink& progress = run_.progress != nullptr ? *run_.progress : SilentProgress();
    for (const Combinations combinations : {Combinations::kHeldOut, Combinations::kTrained}) {
      const char* set =
          combinations == Combinations::kHeldOut ? "held_out_prompts" : "trained_prompts";
      std::vector<ReadingAccuracy> all, real, rebuilt;
      for (int language = 0; language < kLanguages; ++language) {
        const int64_t count = run_.options.check().prompts_per_language();
        const std::string name(LanguageName(static_cast<Language>(language)));
        progress.Begin(absl::StrCat("check ", set, " ", name), count);
        std::vector<ReadingAccuracy> parts;
        for (int64_t first = 0; first < count; first += kCheckBatch) {
          std::vector<ClipSpec> specs;
          std::vector<std::string> prompts;
          for (int64_t i = first; i < std::min(count, first + kCheckBatch); ++i) {
            const uint64_t id = static_cast<uint64_t>(i);
            const uint64_t seed =
                MixSeed(Seed(kCheckPrompts),
                        {static_cast<uint64_t>(combinations), static_cast<uint64_t>(language), id});
            specs.push_back(SampleClip(scans_, geometry_, Split::kHeldOut, combinations, seed));
            int wording = 0;  // one that names the colour, which is read too
            do {
              wording = static_cast<int>(
                  Random(MixSeed(seed, {static_cast<uint64_t>(wording)}))
                      .Below(CaptionTemplates(static_cast<Language>(language)) - 1));
            } while (!CaptionNamesColour(static_cast<Language>(language), wording));
            prompts.push_back(Caption(specs.back(), static_cast<Language>(language), wording));
          }
          WANLITE_ASSIGN_OR_RETURN(
              const at::Tensor video,
              GenerateDigits(model, tokenizer, dit_options_, geometry_, prompts,
                             MixSeed(Seed(kCheckNoise), {static_cast<uint64_t>(combinations),
                                                         static_cast<uint64_t>(language),
                                                         static_cast<uint64_t>(first)})));
          if (first == 0) samples.push_back({absl::StrCat(set, ".", name), video});
          parts.push_back(Read(*classifier, video, specs));
          const at::Tensor clips = RenderClips(scans_, geometry_, specs);
          real.push_back(Read(*classifier, clips, specs));
          rebuilt.push_back(Read(*classifier, vae->Decode(vae->Encode(clips).mean), specs));
          progress.Update(std::min(count, first + kCheckBatch), "");
          if (run_.cancel != nullptr) WANLITE_RETURN_IF_ERROR(run_.cancel->Check());
        }
        progress.End();
        const ReadingAccuracy accuracy = Join(parts);
        all.push_back(accuracy);
        json[set][name] = ToJson(accuracy);
        Report(absl::StrCat("check: ", set, ", ", name, ": ", ToText(accuracy)));
      }
      json[set]["all"] = ToJson(Join(all));
      json[set]["real_clips"] = ToJson(Join(real));
      json[set]["real_clips_through_the_vae"] = ToJson(Join(rebuilt));
      Report(absl::StrCat("check: ", set, ", all: ", ToText(Join(all))));
      Report(absl::StrCat("check: ", set, ", real clips: ", ToText(Join(real))));
      Report(absl::StrCat("check: ", set, ", real clips through the VAE: ", ToText(Join(rebuilt))));
    }
    WANLITE_RETURN_IF_ERROR(
        WriteSafetensors(env_, Path("check_samples.safetensors"), samples).status());
    return env_.WriteFileAtomically(Path("check.json"), json.dump(2) + "\n");
  }

 private:
  uint64_t Seed(StageSeed stage) const { return MixSeed(run_.options.seed(), {stage}); }
  std::string Path(absl::string_view name) const { return JoinPath(run_.out_dir, name); }
  void Report(const std::string& line) const {
    if (run_.report) run_.report(line);
  }

  // inputs: files of this training that the stage is trained on.
  absl::StatusOr<train::TrainRun> LoopRun(const std::string& what,
                                          const std::vector<std::string>& inputs = {}) const {
    train::TrainRun loop;
    loop.env = &env_;
    loop.what = what;
    loop.state_dir = Path(absl::StrCat(what, ".state"));
    for (const auto& [field, value] : FieldsByPath(ObjectiveOptions(run_.options, what))) {
      loop.identity[absl::StrCat("objective.", field)] = value;
    }
    const auto add = [&](const std::string& name, const std::string& path) -> absl::Status {
      WANLITE_ASSIGN_OR_RETURN(loop.identity[absl::StrCat("SHA-256 of ", name)],
                               HashFile(env_, path));
      return absl::OkStatus();
    };
    WANLITE_RETURN_IF_ERROR(add("scans", run_.scans_path));
    for (const std::string& name : inputs) WANLITE_RETURN_IF_ERROR(add(name, Path(name)));
    loop.progress = run_.progress;
    loop.cancel = run_.cancel;
    return loop;
  }

  absl::Status WriteTokenizer() {
    WANLITE_RETURN_IF_ERROR(env_.CreateFolders(Path("tokenizer")));
    return env_.WriteFileAtomically(Path("tokenizer/spiece.model"), spiece_);
  }

  absl::StatusOr<CaptionTable> Captions() const {
    WANLITE_ASSIGN_OR_RETURN(const wan::Tokenizer tokenizer,
                             wan::Tokenizer::Load(env_, Path("tokenizer")));
    return TableOfCaptions(tokenizer);
  }

  absl::StatusOr<CaptionTable> TableOfCaptions(const wan::Tokenizer& tokenizer) const {
    CaptionTable table;
    table.captions = AllCaptions();
    table.captions.insert(table.captions.begin(), "");
    WANLITE_ASSIGN_OR_RETURN(const wan::TokenizedText tokens,
                             tokenizer.EncodeBatch(table.captions, dit_options_.text_length()));
    table.ids = tokens.input_ids;
    table.mask = tokens.attention_mask;
    if (table.mask.select(1, -1).any().item<bool>()) {
      return absl::InvalidArgumentError(
          absl::StrCat("dit.text_length is ", dit_options_.text_length(),
                       ", which some captions fill or exceed; make it larger"));
    }
    for (size_t i = 0; i < table.captions.size(); ++i) {
      table.index[table.captions[i]] = static_cast<int64_t>(i);
    }
    return table;
  }

  std::vector<ClipSpec> TrainingSpecs() const {
    std::vector<ClipSpec> specs;
    for (int64_t i = 0; i < dit_options_.clips(); ++i) {
      specs.push_back(SampleClip(scans_, geometry_, Split::kTrain, Combinations::kTrained,
                                 MixSeed(Seed(kLatentClips), {static_cast<uint64_t>(i)})));
    }
    return specs;
  }

  absl::StatusOr<DitObjective::Data> TrainingData(const CaptionTable& captions) const {
    WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(env_, Path("latents.safetensors")));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor latents, source->Read("latents"));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor mean, source->Read("mean"));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor std, source->Read("std"));
    DitObjective::Data data;
    data.specs = TrainingSpecs();
    if (latents.size(0) != static_cast<int64_t>(data.specs.size())) {
      return absl::FailedPreconditionError(absl::StrCat(
          Path("latents.safetensors"), " holds ", latents.size(0), " clips, dit.clips asks for ",
          data.specs.size(), "; run the stage latents"));
    }
    data.latents = ((latents - mean.reshape({1, -1, 1, 1, 1})) / std.reshape({1, -1, 1, 1, 1}))
                       .to(run_.device);
    data.captions = &captions;
    return data;
  }

  absl::StatusOr<std::shared_ptr<wan::Umt5>> MakeText() const {
    WANLITE_ASSIGN_OR_RETURN(const wan::Tokenizer tokenizer,
                             wan::Tokenizer::Load(env_, Path("tokenizer")));
    return wan::Umt5::Create(MakeTextConfig(dit_options_, tokenizer.vocabulary_size()));
  }

  static absl::Status SetStatistics(const TensorSource& latents, wan::Vae& vae) {
    std::vector<double> values[2];
    const char* const names[2] = {"mean", "std"};
    for (int i = 0; i < 2; ++i) {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor tensor, latents.Read(names[i]));
      for (int64_t c = 0; c < tensor.numel(); ++c) values[i].push_back(tensor[c].item<double>());
    }
    return vae.SetLatentStatistics(values[0], values[1]);
  }

  const DigitsTrainingRun& run_;
  Env& env_;
  const DitTrainingOptions& dit_options_;
  ClipGeometry geometry_;
  DigitScans scans_;
  std::string spiece_;  // of the captions' tokenizer; empty when no stage trains one
};

struct Stage {
  const char* name;
  absl::Status (Trainer::*run)();
};
// In the order they run.
constexpr Stage kStages[] = {{"vae", &Trainer::Vae},
                             {"latents", &Trainer::Latents},
                             {"clip", &Trainer::Clip},
                             {"dit", &Trainer::CommonStart},
                             {"high", &Trainer::HighExpert},
                             {"low", &Trainer::LowExpert},
                             {"classifier", &Trainer::Classifier},
                             {"export", &Trainer::Export},
                             {"check", &Trainer::Check}};

absl::StatusOr<const Stage*> FindStage(const std::string& name) {
  for (const Stage& stage : kStages) {
    if (stage.name == name) return &stage;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("stage '", name, "' is not one of ", absl::StrJoin(DigitsStages(), ", ")));
}

}  // namespace

const std::vector<std::string>& DigitsStages() {
  static const auto* const names = [] {
    auto* list = new std::vector<std::string>;
    for (const Stage& stage : kStages) list->push_back(stage.name);
    return list;
  }();
  return *names;
}

absl::Status TrainDigits(const DigitsTrainingRun& run) {
  const std::vector<std::string>& names = run.stages.empty() ? DigitsStages() : run.stages;
  std::vector<const Stage*> stages;
  for (const std::string& name : names) {
    WANLITE_ASSIGN_OR_RETURN(stages.emplace_back(), FindStage(name));
  }
  return CatchTorch([&]() -> absl::Status {
    if (!run.device.is_cpu()) {
      // Products as tensor cores make them, convolutions by the quickest of their kernels.
      at::globalContext().setFloat32MatmulPrecision("high");
      at::globalContext().setBenchmarkCuDNN(true);
    }
    Trainer trainer(run);
    WANLITE_RETURN_IF_ERROR(trainer.Prepare(names));
    for (const Stage* stage : stages) {
      WANLITE_RETURN_IF_ERROR(
          Annotate((trainer.*stage->run)(), absl::StrCat("stage ", stage->name)));
    }
    return absl::OkStatus();
  });
}

}  // namespace wanlite::digits
