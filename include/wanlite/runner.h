// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs models: a prompt in, frames out; or one component on given tensors.
//
// A folder's own defaults come from scheduler/scheduler_config.json (solver, shift) and
// model_index.json: boundary_ratio as in diffusers, and an object "wanlite_defaults" with any of
// num_inference_steps, guidance_scale, guidance_scale_2, boundary_step, num_frames, height, width,
// fps, negative_prompt and prompts (a list, for evaluations). The scheduler's "wanlite_timesteps"
// and boundary_step are of the folder's own number of steps: a run of another number spaces its
// steps by the scheduler's grid and switches by boundary_ratio. What neither says is as in
// diffusers' WanPipeline: 50 steps, guidance 5, 81 frames of 832x480, 16 frames a second, an empty
// negative prompt; with a model_index.json without boundary_ratio, or one of null or 0, transformer
// runs alone. A folder without a model_index.json runs as its model is published (see
// ModelFolder::notes()), one of no published size with UniPC of shift 5 and the switch at 0.875.
#ifndef WANLITE_RUNNER_H_
#define WANLITE_RUNNER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/lora.h"
#include "wanlite/progress.h"
#include "wanlite/wan/config.h"

namespace wanlite {

// "cpu", "cuda" or "cuda:N". InvalidArgument for other names.
absl::StatusOr<at::Device> ParseDevice(absl::string_view name);
// "fp32" or "bf16".
absl::StatusOr<at::ScalarType> ParseComputeDtype(absl::string_view name);
// "official" or "diffusers".
absl::StatusOr<wan::Numerics> ParseNumerics(absl::string_view name);

struct RunnerOptions {
  at::Device device{at::kCPU};
  // Dtype of dense weights and activations of denoisers and text encoder; what a network declares
  // fp32 stays so, and the VAE always runs in fp32. Quantized weights keep their format.
  at::ScalarType dtype = at::kFloat;
  wan::Numerics numerics = wan::Numerics::kDiffusers;
  // Components to open; empty means all that are there. Others need not even be readable.
  std::vector<std::string> components;
  // config.json for a folder that carries none (original names).
  std::string config_path;
  // Adapters that the model runs with, beside its weights of whatever format; nothing is written.
  std::vector<LoraSpec> loras = {};
  // Free the text encoder when the prompts are encoded. It is the largest network beside the
  // denoisers.
  bool free_text_encoder = false;
  ProgressSink* progress = nullptr;           // SilentProgress() when null
  const CancellationToken* cancel = nullptr;  // never when null
};

enum class Sampler {
  kUniPc,
  kEuler,
  kLcm,  // Euler's with new noise after each step, for models with few steps
};
absl::StatusOr<Sampler> ParseSampler(absl::string_view name);  // "unipc", "euler" or "lcm"
absl::string_view SamplerName(Sampler sampler);

// One forward pass of a denoiser within a generation.
struct ForwardCall {
  int64_t step = 0;  // from 0
  double timestep = 0;
  std::string component;  // the expert in charge
  bool negative = false;  // of guidance: on the negative prompt
};

// What is left open takes the folder's default.
struct GenerateRequest {
  std::string prompt;
  std::optional<std::string> negative_prompt;
  std::optional<int64_t> steps;
  std::optional<int64_t> frames;  // 1 plus a multiple of the VAE's temporal stride
  std::optional<int64_t> height;  // multiples of the VAE's spatial stride times the patch size
  std::optional<int64_t> width;
  std::optional<double> guidance;  // 1 or less: none
  // Of the low-noise expert; the same as guidance when neither says. As in diffusers, guidance of 1
  // or less turns it off for both experts, so a guidance_2 above 1 beside it is refused.
  std::optional<double> guidance_2;
  std::optional<double> shift;
  std::optional<double> boundary_ratio;  // in (0, 1), of a model with two experts
  // In its place: the low-noise expert takes over from this step on, counted from 0.
  std::optional<int64_t> boundary_step;
  // Before the shift, descending: {1000, 750, 500, 250}. As many steps.
  std::optional<std::vector<double>> timesteps;
  std::optional<Sampler> sampler;
  // The noise is that of torch.randn with torch.Generator("cpu").manual_seed(seed), fp32; what
  // kLcm adds between steps is drawn from the same seed.
  uint64_t seed = 0;

  // In place of the text encoder: [1, tokens, text_dim], padded as the model was trained. With
  // guidance both are needed.
  at::Tensor prompt_embeds;
  at::Tensor negative_prompt_embeds;
  // In place of the seed: [1, channels, frames, height, width] in latent units, of variance 1. Its
  // shape wins over frames, height and width.
  at::Tensor initial_latents;
  // Decode with the VAE; without, only the latents come back.
  bool decode = true;
  // Called before each forward pass of a denoiser with its inputs as Forward() takes them, on the
  // device, not to be changed. An error ends the generation and is what it returns.
  std::function<absl::Status(const ForwardCall& call,
                             const std::map<std::string, at::Tensor>& inputs)>
      before_forward;
};

// A request with nothing left open.
struct GenerateSettings {
  std::string negative_prompt;
  int64_t steps = 50;
  int64_t frames = 81, height = 480, width = 832;
  double guidance = 5.0, guidance_2 = 5.0;
  double shift = 1.0;
  Sampler sampler = Sampler::kUniPc;
  double boundary_ratio = 0;             // 0: one expert
  std::optional<int64_t> boundary_step;  // in place of the ratio
  std::vector<double> timesteps;         // empty: of the scheduler's grid
  double fps = 16;
  std::vector<std::string> prompts;  // for evaluations

  bool two_experts() const { return boundary_ratio > 0 || boundary_step.has_value(); }
};

struct GenerateResult {
  GenerateSettings settings;
  at::Tensor latents;  // fp32 [1, channels, frames, height, width], normalised, on the CPU
  at::Tensor frames;   // uint8 [F, H, W, 3]; undefined without decode
  // Forward passes by component, guidance branches counted each.
  std::map<std::string, int64_t> calls;
  // What went otherwise than asked: a prompt that was cut to the model's text length.
  std::vector<std::string> warnings;
  double text_seconds = 0, denoise_seconds = 0, decode_seconds = 0;
};

// An opened model. Components are loaded when first needed and stay until Unload(). Not
// thread-safe.
class Runner {
 public:
  // Checks folder, configs and device; loads nothing. For a CUDA device: Unavailable when there is
  // none, Unimplemented or NotFound when this build has no CUDA library. LoRA files are compared
  // with the model; errors as of LoraSet::Open().
  static absl::StatusOr<std::unique_ptr<Runner>> Open(Env& env, absl::string_view dir,
                                                      const ArchitectureRegistry& architectures,
                                                      const RunnerOptions& options);
  ~Runner();

  const RunnerOptions& options() const;
  const ModelFolder& folder() const;
  // Of options().loras, a line for each file: what it is for and what it holds.
  std::vector<std::string> lora_notes() const;
  // Hollow view of the opened components, adapters and all.
  const ModelView& shapes() const;
  // Defaults of the folder applied, sizes checked against the model. No weights are read.
  absl::StatusOr<GenerateSettings> Resolve(const GenerateRequest& request) const;

  // Loads what `request` needs beforehand, so that a following Generate() measures no loading.
  absl::Status Prepare(const GenerateRequest& request);
  // DataLoss when inputs, latents or frames hold a NaN or an infinity, naming where they began.
  absl::StatusOr<GenerateResult> Generate(const GenerateRequest& request);

  // The forward passes of the denoisers in the order in which Generate() makes them. Reads no
  // weights.
  absl::StatusOr<std::vector<ForwardCall>> PlanForwards(const GenerateRequest& request) const;

  // fp32 [1, tokens, text_dim]: the encoder's output up to the end of the text, zeros after it, as
  // the denoisers were trained.
  absl::StatusOr<at::Tensor> EncodePrompt(const std::string& prompt);
  // input_ids and attention_mask [1, tokens] as the text encoder gets them. Adds a warning for a
  // prompt that is cut to the model's text length, calling it `what`.
  absl::StatusOr<std::map<std::string, at::Tensor>> Tokenize(absl::string_view what,
                                                             const std::string& prompt,
                                                             std::vector<std::string>& warnings);

  // Runs one component on tensors named as diffusers' and transformers' arguments:
  //   transformer, transformer_2   hidden_states, timestep ([], [1] or [batch]; integer or
  //   floating),
  //                                encoder_hidden_states                    -> sample
  //   text_encoder                 input_ids, attention_mask (optional)     -> last_hidden_state
  //   vae.encode                   sample                                   -> mean
  //   vae.decode                   latents (not normalised)                 -> sample
  // Results are on the CPU. InvalidArgument names missing, unknown and misshapen inputs.
  absl::StatusOr<std::map<std::string, at::Tensor>> Forward(
      absl::string_view component, const std::map<std::string, at::Tensor>& inputs);

  // Frees a component's memory; loaded again when needed.
  void Unload(absl::string_view component);

 private:
  struct Rep;
  explicit Runner(std::unique_ptr<Rep> rep);
  // The public functions of these names without their catching: memory may run out anywhere.
  absl::Status PrepareOrThrow(const GenerateRequest& request);
  absl::StatusOr<GenerateResult> GenerateOrThrow(const GenerateRequest& request);
  absl::StatusOr<at::Tensor> EncodePromptOrThrow(const std::string& prompt);
  absl::StatusOr<std::map<std::string, at::Tensor>> ForwardOrThrow(
      absl::string_view component, const std::map<std::string, at::Tensor>& inputs);
  std::unique_ptr<Rep> rep_;
};

}  // namespace wanlite

#endif  // WANLITE_RUNNER_H_
