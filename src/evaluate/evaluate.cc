// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/evaluate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/evaluate/evaluate_cache.h"
#include "src/evaluate/evaluate_layers.h"
#include "src/evaluate/set_scorer.h"
#include "src/runner/hollow_model.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kNeutralPrompt[] = "A cat walks through the grass, seen from the side";

// One model under evaluation.
struct Contender {
  ModelReport report;
  std::unique_ptr<Runner> runner;
  std::vector<double> seconds, denoise_seconds, decode_seconds;
  std::vector<std::string> warnings;
};

// A prompt and a seed.
struct Case {
  std::string prompt;
  uint64_t seed = 0;
};

constexpr char kFirstExpert[] = "transformer", kSecondExpert[] = "transformer_2";

// A forward pass of the original's trajectory.
struct TrajectoryPoint {
  double timestep = 0;
  std::string component;
  std::map<std::string, at::Tensor> inputs;
  // Of the original, flat fp64; undefined until the first candidate is compared.
  at::Tensor velocity;
};

absl::StatusOr<Contender> OpenContender(Env& env, const ArchitectureRegistry& architectures,
                                        const std::string& dir, const RunnerOptions& options) {
  Contender contender;
  // One bar for the whole evaluation, not one for each clip.
  RunnerOptions quiet = options;
  quiet.progress = nullptr;
  WANLITE_ASSIGN_OR_RETURN(contender.runner, Runner::Open(env, dir, architectures, quiet));
  const ModelFolder& folder = contender.runner->folder();
  const ModelView& shapes = contender.runner->shapes();
  contender.report.dir = dir;
  contender.report.bytes = folder.bytes();
  contender.report.parameters = CountParameters(shapes);
  for (const Component& component : shapes.components()) {
    contender.report.component_parameters[component.name] = CountParameters(shapes, component.name);
  }
  contender.report.lineage = ReportLineage(folder);
  return contender;
}

// Counts of the run that was made.
absl::Status CountContender(Contender& contender, const GenerateResult& result,
                            const GenerateRequest& request) {
  const GenerateSettings& settings = result.settings;
  const ModelView& shapes = contender.runner->shapes();
  const int64_t text_tokens =
      request.prompt_embeds.defined() ? request.prompt_embeds.size(1) : TextLength(shapes);
  ModelReport& report = contender.report;
  std::map<std::string, double> nonzero;
  for (const LayerReport& layer : report.layers) nonzero[layer.path] = layer.nonzero;
  WANLITE_ASSIGN_OR_RETURN(
      report.ops,
      CountOps(shapes, VideoShape{settings.frames, settings.height, settings.width, text_tokens},
               nonzero));
  report.calls = result.calls;
  WANLITE_ASSIGN_OR_RETURN(const GenerationCount count, GenerationOps(report.ops, result.calls));
  report.step = count.Step(settings.steps);
  report.generation = count.total();
  return absl::OkStatus();
}

absl::StatusOr<GenerateResult> Run(Contender& contender, const GenerateRequest& request,
                                   bool timed) {
  absl::StatusOr<GenerateResult> result = contender.runner->Generate(request);
  if (!result.ok()) return Annotate(result.status(), contender.report.dir);
  contender.warnings.insert(contender.warnings.end(), result->warnings.begin(),
                            result->warnings.end());
  if (timed) {
    contender.seconds.push_back(result->text_seconds + result->denoise_seconds +
                                result->decode_seconds);
    contender.denoise_seconds.push_back(result->denoise_seconds);
    contender.decode_seconds.push_back(result->decode_seconds);
  }
  return result;
}

std::string SamplingText(const GenerateSettings& s) {
  return absl::StrCat(
      s.steps, " steps of ", SamplerName(s.sampler), ", shift ", s.shift, ", guidance ", s.guidance,
      s.two_experts() && s.guidance_2 != s.guidance ? absl::StrCat(" and ", s.guidance_2) : "",
      s.timesteps.empty() ? "" : absl::StrCat(", timesteps ", absl::StrJoin(s.timesteps, " ")),
      s.boundary_step ? absl::StrCat(", switch at step ", *s.boundary_step)
                      : absl::StrCat(", switch below ", s.boundary_ratio));
}

// Adds one case to the sums in `paired`.
absl::Status Compare(const KeptClip& original, const GenerateResult& compressed,
                     PairedReport& paired) {
  WANLITE_ASSIGN_OR_RETURN(const double mse, LatentMse(original.latents, compressed.latents));
  paired.latent_mse += mse;
  paired.identical = paired.identical && mse == 0;
  if (original.frames.defined() && compressed.frames.defined()) {
    WANLITE_ASSIGN_OR_RETURN(const double psnr, Psnr(original.frames, compressed.frames));
    WANLITE_ASSIGN_OR_RETURN(const double ssim, Ssim(original.frames, compressed.frames));
    paired.has_frames = true;
    paired.psnr_db += std::min(psnr, kPsnrCap);
    paired.ssim += ssim;
    paired.identical = paired.identical && std::isinf(psnr);
  }
  ++paired.cases;
  return absl::OkStatus();
}

class Evaluation {
 public:
  Evaluation(Env& env, const ArchitectureRegistry& architectures, const EvaluateOptions& options)
      : env_(env),
        architectures_(architectures),
        options_(options),
        request_(options.request),
        cache_(env, options.cache) {}

  absl::StatusOr<EvaluateReport> Run() {
    WANLITE_RETURN_IF_ERROR(Check());
    WANLITE_ASSIGN_OR_RETURN(
        original_, OpenContender(env_, architectures_, options_.original, options_.runner));
    WANLITE_RETURN_IF_ERROR(Settle());
    WANLITE_ASSIGN_OR_RETURN(original_.report.layers,
                             ReportLayers(original_.runner->folder(), nullptr, cancel()));
    WANLITE_RETURN_IF_ERROR(CheckRealClips());
    WANLITE_RETURN_IF_ERROR(NameClips());
    if (options_.candidates.empty()) WANLITE_RETURN_IF_ERROR(EvaluateOriginal());
    for (const std::string& dir : options_.candidates) {
      WANLITE_RETURN_IF_ERROR(EvaluateCandidate(dir));
    }
    Close(original_);
    report_.original = std::move(original_.report);
    NameModels();
    if (options_.peak_rss) {
      WANLITE_RETURN_IF_ERROR(MeasurePeak(report_.original));
      for (CandidateReport& candidate : report_.candidates) {
        WANLITE_RETURN_IF_ERROR(MeasurePeak(candidate.model));
      }
    }
    report_.threads = at::get_num_threads();
    report_.machine = DescribeMachine();
    if (!options_.runner.device.is_cpu()) report_.machine.device = options_.runner.device.str();
    return std::move(report_);
  }

 private:
  const CancellationToken* cancel() const { return options_.runner.cancel; }
  ProgressSink& progress() const {
    return options_.runner.progress != nullptr ? *options_.runner.progress : SilentProgress();
  }

  absl::Status Check() const {
    if (options_.seeds < 1 || options_.repeats < 1) {
      return absl::InvalidArgumentError(absl::StrCat("seeds is ", options_.seeds, " and repeats ",
                                                     options_.repeats,
                                                     ", both must be at least 1"));
    }
    if (options_.candidates.empty() && options_.set == nullptr) {
      return absl::InvalidArgumentError(
          "no compressed model is named; an original alone is evaluated over a set");
    }
    if (options_.set != nullptr && options_.set->prompts.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("evaluation set ", options_.set->name, " has no prompts"));
    }
    return absl::OkStatus();
  }

  // Settings and cases: what the caller leaves open is as the original's folder says.
  absl::Status Settle() {
    request_.decode = request_.decode && original_.runner->shapes().FindComponent("vae") != nullptr;
    if (options_.set != nullptr && !request_.decode) {
      return absl::FailedPreconditionError(absl::StrCat(
          "'", options_.original, "' has no VAE, so an evaluation set cannot be used"));
    }
    WANLITE_ASSIGN_OR_RETURN(report_.settings, original_.runner->Resolve(request_));
    const GenerateSettings& settings = report_.settings;
    Fix(settings, request_);
    report_.first_seed = options_.request.seed;
    if (options_.set != nullptr) {
      if (request_.prompt_embeds.defined() || request_.initial_latents.defined()) {
        return absl::InvalidArgumentError(
            "an evaluation set brings prompts and seeds: prompt embeddings and initial latents do "
            "not "
            "go with it");
      }
      report_.set_name = options_.set->name;
      if (options_.set->embed_clip != nullptr) report_.encoder_name = options_.set->encoder_name;
      report_.seeds = 1;
      for (const SetPrompt& prompt : options_.set->prompts) {
        report_.prompts.push_back(prompt.text);
        cases_.push_back({prompt.text, prompt.seed});
      }
      return absl::OkStatus();
    }
    report_.prompts = options_.prompts;
    if (request_.prompt_embeds.defined()) report_.prompts = {"(given embeddings)"};
    if (report_.prompts.empty()) report_.prompts = settings.prompts;
    if (report_.prompts.empty()) report_.prompts = {kNeutralPrompt};
    report_.seeds = request_.initial_latents.defined() ? 1 : options_.seeds;
    for (const std::string& prompt : report_.prompts) {
      for (int64_t seed = 0; seed < report_.seeds; ++seed) {
        cases_.push_back({prompt, report_.first_seed + static_cast<uint64_t>(seed)});
      }
    }
    return absl::OkStatus();
  }

  static void Fix(const GenerateSettings& settings, GenerateRequest& request) {
    request.negative_prompt = settings.negative_prompt;
    request.steps = settings.steps;
    request.frames = settings.frames;
    request.height = settings.height;
    request.width = settings.width;
    request.guidance = settings.guidance;
    request.guidance_2 = settings.guidance_2;
    request.shift = settings.shift;
    request.boundary_ratio.reset();
    request.boundary_step = settings.boundary_step;
    if (!settings.boundary_step && settings.boundary_ratio > 0) {
      request.boundary_ratio = settings.boundary_ratio;
    }
    request.timesteps.reset();
    if (!settings.timesteps.empty()) request.timesteps = settings.timesteps;
    request.sampler = settings.sampler;
  }

  // One network in place of two experts takes all timesteps, by one guidance.
  static void ForgetExperts(const Contender& candidate, GenerateRequest& request) {
    if (candidate.runner->shapes().FindComponent(kSecondExpert) != nullptr) return;
    request.boundary_ratio.reset();
    request.boundary_step.reset();
    request.guidance_2.reset();
  }

  // A candidate whose folder says how it is sampled runs so where the caller left it open: one that
  // was distilled for few steps, or without guidance, makes nothing in the original's way. Sizes
  // and texts are the original's.
  absl::StatusOr<GenerateRequest> RequestFor(Contender& candidate) const {
    WANLITE_ASSIGN_OR_RETURN(
        const JsonFields index,
        JsonFields::Parse("model_index.json", candidate.runner->folder().model_index_json().empty()
                                                  ? "{}"
                                                  : candidate.runner->folder().model_index_json()));
    if (!index.Has({"wanlite_defaults"})) return request_;
    GenerateRequest open = options_.request;
    open.negative_prompt = request_.negative_prompt;
    open.frames = request_.frames;
    open.height = request_.height;
    open.width = request_.width;
    ForgetExperts(candidate, open);
    absl::StatusOr<GenerateSettings> own = candidate.runner->Resolve(open);
    if (!own.ok()) return Annotate(own.status(), candidate.report.dir);
    const std::string text = SamplingText(*own), other = SamplingText(report_.settings);
    if (text != other) {
      candidate.warnings.push_back(absl::StrCat(candidate.report.dir, " is sampled as its folder ",
                                                "says: ", text, "; the original: ", other));
    }
    GenerateRequest request = request_;
    Fix(*own, request);
    return request;
  }

  // How the extractors see real clips, and how the readers do.
  absl::Status CheckRealClips() {
    if (options_.set == nullptr) return absl::OkStatus();
    const EvaluationSet& set = *options_.set;
    for (const auto& extractor : set.extractors) {
      const MachineInfo machine = DescribeMachine();
      const std::string key =
          absl::StrCat("real clips\n", machine.wanlite, "\n", machine.commit, "\n", set.fingerprint,
                       "\n", extractor->distance_name(), "\n", extractor->digest(), "\n",
                       extractor->preprocessing(), "\n", options_.distance.seed);
      std::optional<RealFeatures> features;
      if (!set.fingerprint.empty()) features = cache_.ReadFeatures(key);
      if (!features.has_value()) {
        WANLITE_ASSIGN_OR_RETURN(
            features, ExtractRealFeatures(*extractor, set.real, set.other_real, options_.distance,
                                          &progress(), cancel()));
        if (!set.fingerprint.empty()) {
          WANLITE_RETURN_IF_ERROR(cache_.WriteFeatures(key, *features));
        }
      }
      WANLITE_ASSIGN_OR_RETURN(ExtractorReport extractor_report,
                               CheckExtractor(*extractor, *features, options_.distance, cancel()));
      report_.extractors.push_back(std::move(extractor_report));
      real_features_.push_back(std::move(features->real));
    }
    if (set.real_follows_prompts) {
      SetScorer scorer(set, /*with_features=*/false);
      for (int64_t i = 0; i < set.real.count; ++i) {
        WANLITE_ASSIGN_OR_RETURN(const at::Tensor clip, set.real.clip(i));
        WANLITE_RETURN_IF_ERROR(scorer.Add(clip));
      }
      WANLITE_ASSIGN_OR_RETURN(report_.real_quality, scorer.Finish());
    }
    return absl::OkStatus();
  }

  // The key of the original's clips in the cache: all that decides them but prompt and seed.
  absl::Status NameClips() {
    const bool given = request_.prompt_embeds.defined() || request_.initial_latents.defined();
    if (!cache_.enabled() || given) return absl::OkStatus();
    const MachineInfo machine = DescribeMachine();
    WANLITE_ASSIGN_OR_RETURN(const std::string digest,
                             FolderDigest(env_, options_.original, cancel()));
    const GenerateSettings& s = report_.settings;
    clips_key_ = absl::StrCat(
        "original\n", machine.wanlite, "\n", machine.commit, "\n", machine.cpu, "\n",
        at::get_num_threads(), "\n", options_.runner.device.str(), "\n",
        c10::toString(options_.runner.dtype), "\n", static_cast<int>(options_.runner.numerics),
        "\n", digest, "\n", s.negative_prompt, "\n", s.steps, " ", s.frames, " ", s.height, " ",
        s.width, " ", s.guidance, " ", s.guidance_2, " ", s.shift, " ", SamplerName(s.sampler), " ",
        s.boundary_ratio, " ", s.boundary_step.value_or(-1), " ", absl::StrJoin(s.timesteps, ","),
        " ", request_.decode);
    return absl::OkStatus();
  }

  std::string ClipName(int64_t index) const {
    const Case& one = cases_[static_cast<size_t>(index)];
    return absl::StrCat(one.seed, " ", one.prompt);
  }

  // The original's clip of an earlier evaluation, for a run that nobody times.
  std::optional<KeptClip> EarlierClip(int64_t run, int64_t index) const {
    if (run < options_.repeats || clips_key_.empty()) return std::nullopt;
    return cache_.ReadClip(clips_key_, ClipName(index));
  }

  // Takes the original's clip of a case, as it was made now or earlier.
  absl::Status TakeOriginal(int64_t index, std::optional<KeptClip> earlier,
                            const GenerateResult& made, SetScorer* scorer) {
    if (!earlier.has_value()) {
      earlier = KeptClip{made.latents, made.frames};
      if (!clips_key_.empty()) {
        WANLITE_RETURN_IF_ERROR(cache_.WriteClip(clips_key_, ClipName(index), *earlier));
      }
    }
    kept_.push_back(*std::move(earlier));
    const at::Tensor& frames = kept_.back().frames;
    AddExample(index, frames, report_.original_examples);
    return scorer != nullptr ? scorer->Add(frames) : absl::OkStatus();
  }

  absl::Status FinishOriginal(SetScorer& scorer) {
    WANLITE_ASSIGN_OR_RETURN(report_.original_quality, scorer.Finish());
    original_features_ = scorer.features();
    return MeasureDistances(original_features_, /*to_original=*/false, *report_.original_quality);
  }

  // Alone, over the set.
  absl::Status EvaluateOriginal() {
    SetScorer scorer(*options_.set, /*with_features=*/true);
    const int64_t cases = static_cast<int64_t>(cases_.size());
    const int64_t runs = std::max(cases, options_.repeats);
    progress().Begin(absl::StrCat("evaluate ", original_.report.dir), runs + 1);
    // Run -1 warms up on the first case.
    for (int64_t run = -1; run < runs; ++run) {
      const int64_t index = std::max<int64_t>(run, 0) % cases;
      GenerateRequest request = request_;
      request.prompt = cases_[static_cast<size_t>(index)].prompt;
      request.seed = cases_[static_cast<size_t>(index)].seed;
      std::optional<KeptClip> earlier = EarlierClip(run, index);
      GenerateResult made;
      if (!earlier.has_value()) {
        WANLITE_ASSIGN_OR_RETURN(made, wanlite::Run(original_, request, run >= 0));
      }
      progress().Update(run + 2, "");
      if (cancel() != nullptr) WANLITE_RETURN_IF_ERROR(cancel()->Check());
      if (run == -1) {
        WANLITE_RETURN_IF_ERROR(CountContender(original_, made, request));
      } else if (run < cases) {
        WANLITE_RETURN_IF_ERROR(TakeOriginal(index, std::move(earlier), made, &scorer));
      }
    }
    progress().End();
    return FinishOriginal(scorer);
  }

  struct Turn {
    GenerateResult original;  // empty when it did not run
    GenerateResult candidate;
  };

  // Both once, or the candidate alone. They take turns at being first, so that what warms or slows
  // the machine meets both alike. Runs from 0 are timed, run -1 warms up.
  absl::StatusOr<Turn> RunInTurn(Contender& candidate, const GenerateRequest& request, int64_t run,
                                 bool run_original) {
    Turn turn;
    const auto original = [&]() -> absl::Status {
      GenerateRequest observed = request_;
      observed.prompt = request.prompt;
      observed.seed = request.seed;
      observed.decode = request.decode;
      if (run == -1 && first()) Observe(observed);
      WANLITE_ASSIGN_OR_RETURN(turn.original, wanlite::Run(original_, observed, run >= 0));
      return absl::OkStatus();
    };
    const bool original_first = run % 2 == 0;
    if (run_original && original_first) WANLITE_RETURN_IF_ERROR(original());
    WANLITE_ASSIGN_OR_RETURN(turn.candidate, wanlite::Run(candidate, request, run >= 0));
    if (run_original && !original_first) WANLITE_RETURN_IF_ERROR(original());
    return turn;
  }

  absl::Status EvaluateCandidate(const std::string& dir) {
    WANLITE_ASSIGN_OR_RETURN(Contender candidate,
                             OpenContender(env_, architectures_, dir, options_.runner));
    WANLITE_ASSIGN_OR_RETURN(GenerateRequest request, RequestFor(candidate));
    // Pixels are compared only when both have a VAE.
    if (request.decode && candidate.runner->shapes().FindComponent("vae") == nullptr) {
      if (options_.set != nullptr) {
        return absl::FailedPreconditionError(absl::StrCat("'", dir, "' has no VAE"));
      }
      request.decode = false;
    }
    ForgetExperts(candidate, request);
    WANLITE_ASSIGN_OR_RETURN(
        candidate.report.layers,
        ReportLayers(candidate.runner->folder(), &original_.runner->folder(), cancel()));

    CandidateReport result;
    result.paired.identical = true;
    std::optional<SetScorer> original_scorer, scorer;
    if (options_.set != nullptr) {
      scorer.emplace(*options_.set, /*with_features=*/true);
      if (first()) original_scorer.emplace(*options_.set, /*with_features=*/true);
    }
    const int64_t cases = static_cast<int64_t>(cases_.size());
    const int64_t runs = std::max(cases, options_.repeats);
    std::vector<double> ratios;
    progress().Begin(absl::StrCat("evaluate ", candidate.report.dir), runs + 1);
    // Run -1 warms up on the first case.
    for (int64_t run = -1; run < runs; ++run) {
      const int64_t index = std::max<int64_t>(run, 0) % cases;
      request.prompt = cases_[static_cast<size_t>(index)].prompt;
      request.seed = cases_[static_cast<size_t>(index)].seed;
      const bool needed = run < cases;
      // The original's clips are the same beside every candidate: it runs again only to be timed.
      std::optional<KeptClip> earlier;
      if (first()) earlier = EarlierClip(run, index);
      const bool run_original = (first() && !earlier.has_value()) || run < options_.repeats;
      WANLITE_ASSIGN_OR_RETURN(const Turn turn, RunInTurn(candidate, request, run, run_original));
      progress().Update(run + 2, "");
      if (run == -1) {
        if (first()) WANLITE_RETURN_IF_ERROR(CountContender(original_, turn.original, request_));
        WANLITE_RETURN_IF_ERROR(CountContender(candidate, turn.candidate, request));
        continue;
      }
      if (run_original) ratios.push_back(candidate.seconds.back() / original_.seconds.back());
      if (!needed) continue;
      if (first()) {
        WANLITE_RETURN_IF_ERROR(TakeOriginal(index, std::move(earlier), turn.original,
                                             original_scorer ? &*original_scorer : nullptr));
      }
      WANLITE_RETURN_IF_ERROR(
          Compare(kept_[static_cast<size_t>(index)], turn.candidate, result.paired));
      if (scorer) WANLITE_RETURN_IF_ERROR(scorer->Add(turn.candidate.frames));
      AddExample(index, turn.candidate.frames, result.examples);
    }
    progress().End();
    const double n = static_cast<double>(result.paired.cases);
    result.paired.latent_mse /= n;
    result.paired.psnr_db /= n;
    result.paired.ssim /= n;
    result.paired.latency_ratio = SpreadOf(ratios);
    WANLITE_RETURN_IF_ERROR(CompareVelocity(candidate, result.paired));
    if (original_scorer) {
      WANLITE_RETURN_IF_ERROR(FinishOriginal(*original_scorer));
    }
    if (scorer) {
      WANLITE_ASSIGN_OR_RETURN(result.quality, scorer->Finish());
      WANLITE_RETURN_IF_ERROR(
          MeasureDistances(scorer->features(), /*to_original=*/true, *result.quality));
    }
    Close(candidate);
    result.model = std::move(candidate.report);
    report_.candidates.push_back(std::move(result));
    return absl::OkStatus();
  }

  bool first() const { return report_.candidates.empty(); }

  void AddExample(int64_t index, const at::Tensor& frames,
                  std::vector<ExampleClip>& examples) const {
    if (!frames.defined() || static_cast<int64_t>(examples.size()) >= options_.examples) return;
    const Case& shown = cases_[static_cast<size_t>(index)];
    examples.push_back({shown.prompt, shown.seed, frames});
  }

  void Observe(GenerateRequest& request) {
    request.before_forward = [this](const ForwardCall& call,
                                    const std::map<std::string, at::Tensor>& inputs) {
      if (call.negative) return absl::OkStatus();
      TrajectoryPoint point{call.timestep, call.component, {}, {}};
      for (const auto& [name, tensor] : inputs) point.inputs[name] = tensor.cpu();
      trajectory_.push_back(std::move(point));
      return absl::OkStatus();
    };
  }

  // Both models on every input of the original's first run, with its prompt.
  absl::Status CompareVelocity(Contender& candidate, PairedReport& paired) {
    for (TrajectoryPoint& point : trajectory_) {
      if (cancel() != nullptr) WANLITE_RETURN_IF_ERROR(cancel()->Check());
      const auto velocity = [&](Runner& runner) -> absl::StatusOr<at::Tensor> {
        const bool here = runner.shapes().FindComponent(point.component) != nullptr;
        WANLITE_ASSIGN_OR_RETURN(
            const auto outputs,
            runner.Forward(here ? point.component : std::string(kFirstExpert), point.inputs));
        return outputs.at("sample").to(at::kDouble).flatten();
      };
      if (!point.velocity.defined()) {
        WANLITE_ASSIGN_OR_RETURN(point.velocity, velocity(*original_.runner));
      }
      const at::Tensor& x = point.velocity;
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor y, velocity(*candidate.runner));
      const double size = x.norm().item<double>(), other = y.norm().item<double>();
      VelocityAgreement agreement{point.timestep, point.component, 0, 0};
      if (size > 0 && other > 0) agreement.cosine = x.dot(y).item<double>() / (size * other);
      if (size > 0) agreement.relative_error = (y - x).norm().item<double>() / size;
      paired.velocity.push_back(std::move(agreement));
    }
    return absl::OkStatus();
  }

  absl::Status MeasureDistances(const std::vector<FeatureSet>& features, bool to_original,
                                SetQuality& quality) const {
    for (size_t e = 0; e < features.size(); ++e) {
      WANLITE_ASSIGN_OR_RETURN(
          const SetDistance real,
          MeasureSetDistance(real_features_[e], features[e], options_.distance, cancel()));
      quality.to_real.push_back(real);
      if (!to_original) continue;
      WANLITE_ASSIGN_OR_RETURN(
          const SetDistance original,
          MeasureSetDistance(original_features_[e], features[e], options_.distance, cancel()));
      quality.to_original.push_back(original);
      WANLITE_ASSIGN_OR_RETURN(DistanceChange change,
                               CompareDistances(report_.original_quality->to_real[e], real,
                                                options_.distance.confidence));
      quality.change.push_back(change);
    }
    return absl::OkStatus();
  }

  void Close(Contender& contender) {
    for (const std::string& warning : contender.warnings) {
      auto& all = report_.warnings;
      if (std::find(all.begin(), all.end(), warning) == all.end()) all.push_back(warning);
    }
    contender.report.latency = SpreadOf(contender.seconds);
    contender.report.denoise_latency = SpreadOf(contender.denoise_seconds);
    contender.report.decode_latency = SpreadOf(contender.decode_seconds);
    // Frees the weights: the next model, or the process that measures memory, wants the room.
    contender.runner.reset();
  }

  // Names that tell the models of a report apart.
  void NameModels() {
    std::map<std::string, int> seen;
    const auto name = [&](ModelReport& model) {
      model.name = absl::StrCat(Basename(model.dir));
      if (model.name.empty()) model.name = model.dir;
      const int count = ++seen[model.name];
      if (count > 1) absl::StrAppend(&model.name, " (", count, ")");
    };
    name(report_.original);
    for (CandidateReport& candidate : report_.candidates) name(candidate.model);
  }

  absl::Status MeasurePeak(ModelReport& model) const {
    const absl::StatusOr<int64_t> peak = options_.peak_rss(report_, model.dir);
    if (absl::IsCancelled(peak.status())) return peak.status();
    // Hours of evaluation are not thrown away for it, but it is said.
    if (peak.ok()) {
      model.peak_rss_bytes = *peak;
    } else {
      model.peak_rss_warning =
          absl::StrCat("peak memory was not measured: ", peak.status().message());
    }
    return absl::OkStatus();
  }

  Env& env_;
  const ArchitectureRegistry& architectures_;
  const EvaluateOptions& options_;
  GenerateRequest request_;
  Contender original_;
  EvaluateReport report_;
  std::vector<Case> cases_;
  EvaluateCache cache_;
  std::string clips_key_;       // empty: the original's clips are not kept
  std::vector<KeptClip> kept_;  // of the original, for the candidates after the first too
  std::vector<TrajectoryPoint> trajectory_;
  std::vector<FeatureSet> real_features_, original_features_;
};

}  // namespace

absl::StatusOr<EvaluateReport> Evaluate(Env& env, const ArchitectureRegistry& architectures,
                                        const EvaluateOptions& options) {
  return CatchTorch([&] { return Evaluation(env, architectures, options).Run(); });
}

}  // namespace wanlite
