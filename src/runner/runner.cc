// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/runner.h"
#include "src/core/stopwatch.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/wan/sampler.h"
#include "src/ops/cpu/cpu_isa.h"
#include "src/ops/cuda_loader.h"
#include "src/runner/component_fit.h"
#include "src/runner/runner_rep.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

template <typename Value>
absl::StatusOr<Value> OneOf(absl::string_view what, absl::string_view name,
                            const std::vector<std::pair<std::string, Value>>& known) {
  std::vector<std::string> names;
  for (const auto& [known_name, value] : known) {
    if (name == known_name) return value;
    names.push_back(known_name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown ", what, " '", name, "', there are: ", absl::StrJoin(names, ", ")));
}

absl::Status CheckEmbeds(absl::string_view what, const at::Tensor& embeds, int64_t text_dim) {
  if (embeds.dim() == 3 && embeds.size(0) == 1 && embeds.size(1) >= 1 &&
      embeds.size(2) == text_dim && embeds.is_floating_point()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(what, " must be floating [1, tokens, ", text_dim,
                                                 "]; found ", at::toString(embeds.scalar_type()),
                                                 " [", absl::StrJoin(embeds.sizes(), ", "), "]"));
}

wan::SampleOptions SampleOptionsOf(const GenerateSettings& settings,
                                   const wan::FlowSchedulerConfig& scheduler) {
  wan::SampleOptions sample;
  sample.scheduler = scheduler;
  sample.scheduler.solver = settings.sampler == Sampler::kEuler ? wan::SolverKind::kEuler
                            : settings.sampler == Sampler::kLcm ? wan::SolverKind::kLcm
                                                                : wan::SolverKind::kUniPc;
  sample.scheduler.shift = settings.shift;
  sample.scheduler.timesteps = settings.timesteps;
  sample.num_steps = settings.steps;
  sample.guidance = settings.guidance;
  sample.guidance_low = settings.guidance_2;
  sample.boundary_step = settings.boundary_step;
  if (!settings.boundary_step.has_value() && settings.boundary_ratio > 0) {
    sample.boundary_ratio = settings.boundary_ratio;
  }
  return sample;
}

ForwardCall CallOf(const wan::SampleStep& step, bool negative) {
  return {step.index, step.timestep,
          step.expert == wan::Expert::kHighNoise ? "transformer" : "transformer_2", negative};
}

// `what` says where the values come from.
absl::Status CheckAllFinite(absl::string_view what, const at::Tensor& values) {
  if (at::isfinite(values).all().item<bool>()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(what, " a NaN or an infinity"));
}

}  // namespace

absl::StatusOr<at::Device> ParseDevice(absl::string_view name) {
  if (name == "cpu") return at::Device(at::kCPU);
  if (name == "cuda") return at::Device(at::kCUDA, 0);
  int index = 0;
  if (absl::StartsWith(name, "cuda:") && absl::SimpleAtoi(name.substr(5), &index) && index >= 0 &&
      index < 128) {
    return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown device '", name, "', there are: cpu, cuda, cuda:N"));
}

absl::StatusOr<at::ScalarType> ParseComputeDtype(absl::string_view name) {
  return OneOf<at::ScalarType>("dtype", name, {{"fp32", at::kFloat}, {"bf16", at::kBFloat16}});
}

absl::StatusOr<wan::Numerics> ParseNumerics(absl::string_view name) {
  return OneOf<wan::Numerics>(
      "numerics", name,
      {{"official", wan::Numerics::kOfficial}, {"diffusers", wan::Numerics::kDiffusers}});
}

absl::StatusOr<Sampler> ParseSampler(absl::string_view name) {
  return OneOf<Sampler>(
      "sampler", name,
      {{"unipc", Sampler::kUniPc}, {"euler", Sampler::kEuler}, {"lcm", Sampler::kLcm}});
}

absl::string_view SamplerName(Sampler sampler) {
  return sampler == Sampler::kEuler ? "euler" : sampler == Sampler::kLcm ? "lcm" : "unipc";
}

Runner::Runner(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Runner::~Runner() = default;
const RunnerOptions& Runner::options() const { return rep_->options; }
const ModelFolder& Runner::folder() const { return rep_->folder; }
const ModelView& Runner::shapes() const { return rep_->shapes; }
std::vector<std::string> Runner::lora_notes() const {
  return rep_->loras.has_value() ? rep_->loras->Describe() : std::vector<std::string>();
}

absl::StatusOr<std::unique_ptr<Runner>> Runner::Open(Env& env, absl::string_view dir,
                                                     const ArchitectureRegistry& architectures,
                                                     const RunnerOptions& options) {
  // First of all: once LibTorch was asked for CUDA without it, the answer stays no.
  if (options.device.is_cuda()) WANLITE_RETURN_IF_ERROR(ops::EnsureCuda());
  OpenOptions open;
  open.components = options.components;
  open.config_path = options.config_path;
  WANLITE_ASSIGN_OR_RETURN(ModelFolder folder, ModelFolder::Open(env, dir, open, architectures));
  WANLITE_ASSIGN_OR_RETURN(ModelView shapes, folder.BuildView());
  std::optional<LoraSet> loras;
  if (!options.loras.empty()) {
    WANLITE_ASSIGN_OR_RETURN(loras, LoraSet::Open(env, options.loras, shapes));
    WANLITE_RETURN_IF_ERROR(loras->ApplyPlan(shapes));
  }
  return std::unique_ptr<Runner>(new Runner(std::make_unique<Rep>(
      env, architectures, options, std::move(folder), std::move(shapes), std::move(loras))));
}

absl::StatusOr<std::shared_ptr<torch::nn::Module>> Runner::Rep::Load(const std::string& component) {
  if (const auto found = loaded.find(component); found != loaded.end()) {
    return found->second.components().front().module;
  }
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder opened, folder.OpenAlone(component));
  WANLITE_ASSIGN_OR_RETURN(ModelView view, opened.BuildView());
  progress().Begin(absl::StrCat("load ", component), 0);
  absl::Status status = view.LoadAll();
  if (status.ok() && loras.has_value()) status = loras->Apply(view);
  const ComponentRole role = view.components().front().role;
  if (status.ok()) {
    status = view.Cast(role == ComponentRole::kAutoencoder ? at::kFloat : options.dtype);
  }
  if (role == ComponentRole::kAutoencoder) {
    // Its output is clamped, which would hide an infinity. It is small: the others' are not looked
    // through, what they give is.
    for (const NamedTensor& named : view.Tensors()) {
      if (status.ok()) status = CheckAllFinite(absl::StrCat(named.name, " holds"), named.tensor);
    }
  }
  if (status.ok()) status = options.device.is_cpu() ? view.PackWeights() : view.To(options.device);
  progress().End();
  if (!status.ok()) return Annotate(status, component);
  std::shared_ptr<torch::nn::Module> module = view.components().front().module;
  module->eval();
  loaded.emplace(component, std::move(view));
  return module;
}

absl::StatusOr<std::shared_ptr<wan::Dit>> Runner::Rep::LoadDenoiser(const std::string& component) {
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<wan::Dit> dit, LoadAs<wan::Dit>(component));
  dit->set_numerics(options.numerics);
  return dit;
}

absl::StatusOr<wan::DitConfig> Runner::Rep::DenoiserConfig() const {
  for (const char* name : {"transformer", "transformer_2"}) {
    const Component* component = shapes.FindComponent(name);
    if (component == nullptr) continue;
    absl::StatusOr<wan::DitConfig> config = wan::ParseDitConfig(component->config_json);
    return config.ok() ? config : Annotate(config.status(), name);
  }
  return folder.CheckHas("transformer");
}

absl::StatusOr<LatentGeometry> Runner::Rep::Geometry() const {
  WANLITE_ASSIGN_OR_RETURN(const wan::DitConfig dit, DenoiserConfig());
  if (const absl::Status fit = CheckComponentsFit(shapes); !fit.ok()) {
    return Annotate(fit, folder.dir());
  }
  LatentGeometry geometry;
  geometry.channels = dit.in_channels;
  geometry.patch = dit.patch_size;
  geometry.two_experts = shapes.FindComponent("transformer") != nullptr &&
                         shapes.FindComponent("transformer_2") != nullptr;
  if (const Component* component = shapes.FindComponent("vae"); component != nullptr) {
    WANLITE_ASSIGN_OR_RETURN(const wan::VaeConfig vae, wan::ParseVaeConfig(component->config_json));
    geometry.temporal_stride = vae.temporal_stride();
    geometry.spatial_stride = vae.spatial_stride();
  }
  return geometry;
}

absl::StatusOr<FolderDefaults> Runner::Rep::Defaults() const {
  WANLITE_ASSIGN_OR_RETURN(const LatentGeometry geometry, Geometry());
  absl::StatusOr<FolderDefaults> defaults = ParseFolderDefaults(
      folder.model_index_json(), folder.scheduler_config_json(), geometry.two_experts);
  return defaults.ok() ? defaults : Annotate(defaults.status(), folder.dir());
}

absl::StatusOr<GenerateSettings> Runner::Resolve(const GenerateRequest& request) const {
  WANLITE_ASSIGN_OR_RETURN(const FolderDefaults defaults, rep_->Defaults());
  WANLITE_ASSIGN_OR_RETURN(const LatentGeometry geometry, rep_->Geometry());
  return ResolveSettings(request, defaults.settings, geometry);
}

absl::StatusOr<std::vector<ForwardCall>> Runner::PlanForwards(
    const GenerateRequest& request) const {
  WANLITE_ASSIGN_OR_RETURN(const FolderDefaults defaults, rep_->Defaults());
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings settings, Resolve(request));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<wan::SampleStep> plan,
                           wan::PlanSampling(SampleOptionsOf(settings, defaults.scheduler)));
  std::vector<ForwardCall> calls;
  for (const wan::SampleStep& step : plan) {
    calls.push_back(CallOf(step, /*negative=*/false));
    if (step.guided()) calls.push_back(CallOf(step, /*negative=*/true));
  }
  return calls;
}

absl::Status Runner::Prepare(const GenerateRequest& request) {
  return CatchTorch([&] { return PrepareOrThrow(request); });
}

absl::StatusOr<at::Tensor> Runner::EncodePrompt(const std::string& prompt) {
  return CatchTorch([&] { return EncodePromptOrThrow(prompt); });
}

absl::StatusOr<GenerateResult> Runner::Generate(const GenerateRequest& request) {
  return CatchTorch([&] { return GenerateOrThrow(request); });
}

absl::Status Runner::PrepareOrThrow(const GenerateRequest& request) {
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings settings, Resolve(request));
  if (!request.prompt_embeds.defined()) {
    WANLITE_RETURN_IF_ERROR(rep_->LoadAs<wan::Umt5>("text_encoder").status());
  }
  WANLITE_RETURN_IF_ERROR(rep_->LoadDenoiser("transformer").status());
  if (settings.two_experts()) {
    WANLITE_RETURN_IF_ERROR(rep_->LoadDenoiser("transformer_2").status());
  }
  if (request.decode) WANLITE_RETURN_IF_ERROR(rep_->LoadAs<wan::Vae>("vae").status());
  return absl::OkStatus();
}

absl::StatusOr<wan::TokenizedText> Runner::Rep::Tokenize(const std::string& prompt) {
  WANLITE_ASSIGN_OR_RETURN(const wan::DitConfig dit, DenoiserConfig());
  if (!tokenizer) {
    if (folder.tokenizer_dir().empty()) {
      return absl::NotFoundError(
          absl::StrCat("'", folder.dir(),
                       "' has no tokenizer folder; give prompt embeddings instead of a prompt"));
    }
    WANLITE_ASSIGN_OR_RETURN(tokenizer, wan::Tokenizer::Load(env, folder.tokenizer_dir()));
  }
  WANLITE_RETURN_IF_ERROR(CheckVocabularyFits(shapes, tokenizer->vocabulary_size()));
  return tokenizer->Encode(prompt, dit.text_len);
}

absl::StatusOr<std::map<std::string, at::Tensor>> Runner::Tokenize(
    absl::string_view what, const std::string& prompt, std::vector<std::string>& warnings) {
  return CatchTorch([&]() -> absl::StatusOr<std::map<std::string, at::Tensor>> {
    WANLITE_ASSIGN_OR_RETURN(const wan::TokenizedText text, rep_->Tokenize(prompt));
    WANLITE_RETURN_IF_ERROR(rep_->WarnIfCut(what, prompt, warnings));
    return std::map<std::string, at::Tensor>{{"input_ids", text.input_ids},
                                             {"attention_mask", text.attention_mask}};
  });
}

absl::StatusOr<at::Tensor> Runner::EncodePromptOrThrow(const std::string& prompt) {
  Rep& rep = *rep_;
  WANLITE_ASSIGN_OR_RETURN(const wan::TokenizedText text, rep.Tokenize(prompt));
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<wan::Umt5> encoder,
                           rep.LoadAs<wan::Umt5>("text_encoder"));
  absl::StatusOr<at::Tensor> embeds = CatchTorch([&]() -> at::Tensor {
    const at::NoGradGuard no_grad;
    const at::Tensor mask = text.attention_mask.to(rep.options.device);
    const at::Tensor hidden = encoder->forward(text.input_ids.to(rep.options.device), mask);
    // Denoisers are trained with zeros after the text, not with what the encoder makes of padding.
    return (hidden.to(at::kFloat) * mask.unsqueeze(-1).to(at::kFloat)).cpu();
  });
  return embeds.ok() ? embeds : Annotate(embeds.status(), "text_encoder");
}

absl::Status Runner::Rep::WarnIfCut(absl::string_view what, const std::string& prompt,
                                    std::vector<std::string>& warnings) const {
  WANLITE_ASSIGN_OR_RETURN(const wan::DitConfig dit, DenoiserConfig());
  // Inside a character of UTF-8.
  const auto inside = [&](size_t at) {
    return at < prompt.size() && (static_cast<unsigned char>(prompt[at]) & 0xC0) == 0x80;
  };
  const auto fits = [&](size_t bytes) -> absl::StatusOr<bool> {
    while (bytes > 0 && inside(bytes)) --bytes;
    WANLITE_ASSIGN_OR_RETURN(const wan::TokenizedText text,
                             tokenizer->Encode(prompt.substr(0, bytes), dit.text_len + 1));
    return text.attention_mask.sum().item<int64_t>() <= dit.text_len;
  };
  WANLITE_ASSIGN_OR_RETURN(const bool whole, fits(prompt.size()));
  if (whole) return absl::OkStatus();
  // Where the text that is read ends.
  size_t low = 0, high = prompt.size();
  while (low + 1 < high) {
    const size_t middle = low + (high - low) / 2;
    WANLITE_ASSIGN_OR_RETURN(const bool read, fits(middle));
    (read ? low : high) = middle;
  }
  while (low > 0 && inside(low)) --low;
  constexpr size_t kShown = 120;
  size_t end = std::min(prompt.size(), low + kShown);
  while (inside(end)) ++end;
  warnings.push_back(absl::StrCat(
      "the ", what, " is longer than the ", dit.text_len, " tokens that this model reads; cut: '",
      prompt.substr(low, end - low), end < prompt.size() ? "…" : "", "'"));
  return absl::OkStatus();
}

absl::StatusOr<GenerateResult> Runner::GenerateOrThrow(const GenerateRequest& request) {
  Rep& rep = *rep_;
  GenerateResult result;
  WANLITE_ASSIGN_OR_RETURN(const FolderDefaults defaults, rep.Defaults());
  WANLITE_ASSIGN_OR_RETURN(const LatentGeometry geometry, rep.Geometry());
  WANLITE_ASSIGN_OR_RETURN(result.settings, ResolveSettings(request, defaults.settings, geometry));
  const GenerateSettings& settings = result.settings;
  const bool guided = settings.guidance > 1;
  WANLITE_ASSIGN_OR_RETURN(const wan::DitConfig dit_config, rep.DenoiserConfig());
  if (rep.options.device.is_cpu() && rep.options.dtype == at::kBFloat16 &&
      !ops::CpuMultipliesBf16()) {
    result.warnings.push_back(
        "this CPU has no bf16 arithmetic: networks that are not quantized take several times as "
        "long in bf16 as in fp32");
  }

  // Text.
  const Stopwatch text_time;
  at::Tensor text = request.prompt_embeds, negative = request.negative_prompt_embeds;
  if (!text.defined()) {
    WANLITE_ASSIGN_OR_RETURN(text, EncodePrompt(request.prompt));
    ++result.calls["text_encoder"];
    WANLITE_RETURN_IF_ERROR(rep.WarnIfCut("prompt", request.prompt, result.warnings));
  }
  if (guided && !negative.defined()) {
    WANLITE_ASSIGN_OR_RETURN(negative, EncodePrompt(settings.negative_prompt));
    WANLITE_RETURN_IF_ERROR(
        rep.WarnIfCut("negative prompt", settings.negative_prompt, result.warnings));
    ++result.calls["text_encoder"];
  }
  WANLITE_RETURN_IF_ERROR(CheckEmbeds("prompt_embeds", text, dit_config.text_dim));
  if (guided) {
    WANLITE_RETURN_IF_ERROR(CheckEmbeds("negative_prompt_embeds", negative, dit_config.text_dim));
    WANLITE_RETURN_IF_ERROR(CheckAllFinite("the embedding of the negative prompt holds", negative));
  }
  WANLITE_RETURN_IF_ERROR(CheckAllFinite("the embedding of the prompt holds", text));
  result.text_seconds = text_time.Seconds();
  if (rep.options.free_text_encoder) Unload("text_encoder");
  WANLITE_RETURN_IF_ERROR(rep.CheckCancelled());

  // Denoising.
  std::shared_ptr<wan::Dit> high, low;
  WANLITE_ASSIGN_OR_RETURN(high, rep.LoadDenoiser("transformer"));
  if (settings.two_experts()) {
    WANLITE_ASSIGN_OR_RETURN(low, rep.LoadDenoiser("transformer_2"));
  }
  const Stopwatch denoise_time;
  wan::SampleOptions sample = SampleOptionsOf(settings, defaults.scheduler);
  sample.seed = request.seed;
  WANLITE_ASSIGN_OR_RETURN(const std::vector<wan::SampleStep> plan, wan::PlanSampling(sample));
  for (const wan::SampleStep& step : plan) {
    const bool is_high = step.expert == wan::Expert::kHighNoise;
    result.calls[is_high ? "transformer" : "transformer_2"] += step.guided() ? 2 : 1;
  }
  absl::Status observed;
  size_t at_step = 0;
  bool negative_turn = false;  // the sampler asks for the prompt's velocity first
  const auto denoiser = [&](const std::shared_ptr<wan::Dit>& dit) -> wan::Denoiser {
    if (dit == nullptr) return nullptr;
    return [&, dit](const at::Tensor& latents, const at::Tensor& timestep,
                    const at::Tensor& embeds) -> absl::StatusOr<at::Tensor> {
      WANLITE_RETURN_IF_ERROR(rep.CheckCancelled());
      const at::Tensor time = timestep.to(latents.device());
      if (request.before_forward != nullptr) {
        observed = request.before_forward(
            CallOf(plan[at_step], negative_turn),
            {{"hidden_states", latents}, {"timestep", time}, {"encoder_hidden_states", embeds}});
        WANLITE_RETURN_IF_ERROR(observed);
      }
      negative_turn = plan[at_step].guided() && !negative_turn;
      return dit->forward(latents, time, embeds);
    };
  };
  at::Tensor latents = request.initial_latents;
  if (!latents.defined()) {
    latents = wan::InitialLatents(
        {1, geometry.channels, 1 + (settings.frames - 1) / geometry.temporal_stride,
         settings.height / geometry.spatial_stride, settings.width / geometry.spatial_stride},
        request.seed);
  }
  const at::Device device = rep.options.device;
  latents = latents.to(device, at::kFloat);
  WANLITE_RETURN_IF_ERROR(CheckAllFinite("initial_latents hold", latents));
  rep.progress().Begin("denoise", settings.steps);
  absl::Status finite;
  const auto report = [&](const wan::SampleStep& step, const at::Tensor& x) {
    const char* expert = step.expert == wan::Expert::kHighNoise ? "transformer" : "transformer_2";
    finite = CheckAllFinite(absl::StrCat(expert, ": the latents after step ", step.index + 1,
                                         " of ", step.num_steps, " hold"),
                            x);
    if (!finite.ok()) return false;
    ++at_step;
    rep.progress().Update(step.index + 1,
                          step.expert == wan::Expert::kHighNoise ? "" : "low noise");
    return rep.CheckCancelled().ok();
  };
  absl::StatusOr<at::Tensor> sampled =
      wan::Sample(sample, denoiser(high), denoiser(low), latents, text.to(device),
                  guided ? std::optional<at::Tensor>(negative.to(device)) : std::nullopt, report);
  rep.progress().End();
  if (!sampled.ok()) {
    WANLITE_RETURN_IF_ERROR(finite);
    WANLITE_RETURN_IF_ERROR(observed);
    WANLITE_RETURN_IF_ERROR(rep.CheckCancelled());
    return sampled.status();
  }
  result.latents = sampled->cpu();
  result.denoise_seconds = denoise_time.Seconds();
  if (!request.decode) return result;

  // Pixels.
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<wan::Vae> vae, rep.LoadAs<wan::Vae>("vae"));
  const Stopwatch decode_time;
  rep.progress().Begin("decode", settings.frames);
  std::vector<at::Tensor> chunks;
  int64_t done = 0;
  absl::Status decoded = CatchTorch([&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    absl::Status chunks_finite;
    vae->DecodeFrames(
        vae->Denormalize(sampled->to(device, at::kFloat)), [&](const at::Tensor& chunk) {
          if (!chunks_finite.ok()) return;
          chunks_finite =
              CheckAllFinite(absl::StrCat("the decoded frames ", done + 1, " to ",
                                          done + chunk.size(2), " of ", settings.frames, " hold"),
                             chunk);
          chunks.push_back(ToFrames(chunk));
          done += chunks.back().size(0);
          rep.progress().Update(done, "");
        });
    WANLITE_RETURN_IF_ERROR(chunks_finite);
    result.frames = at::cat(chunks, 0);
    return absl::OkStatus();
  });
  rep.progress().End();
  if (!decoded.ok()) return Annotate(decoded, "vae");
  ++result.calls["vae.decode"];
  result.decode_seconds = decode_time.Seconds();
  WANLITE_RETURN_IF_ERROR(rep.CheckCancelled());
  return result;
}

void Runner::Unload(absl::string_view component) { rep_->loaded.erase(std::string(component)); }

}  // namespace wanlite
