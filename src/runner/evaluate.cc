// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/runner/evaluate.h"

#include <torch/torch.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/runner/hollow_model.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kNeutralPrompt[] = "A cat walks through the grass, seen from the side";

// One of the two models under evaluation.
struct Contender {
  ModelReport report;
  std::unique_ptr<Runner> runner;
  std::vector<double> seconds, denoise_seconds;
};

absl::StatusOr<Contender> OpenContender(Env& env, const ArchitectureRegistry& architectures,
                                        const std::string& dir, const RunnerOptions& options) {
  Contender contender;
  WANLITE_ASSIGN_OR_RETURN(contender.runner, Runner::Open(env, dir, architectures, options));
  const ModelFolder& folder = contender.runner->folder();
  const ModelView& shapes = contender.runner->shapes();
  contender.report.dir = dir;
  contender.report.bytes = folder.bytes();
  contender.report.parameters = CountParameters(shapes);
  for (const Component& component : shapes.components()) {
    contender.report.component_parameters[component.name] = CountParameters(shapes, component.name);
  }
  return contender;
}

ForwardOps Times(const ForwardOps& ops, double calls) {
  return ForwardOps{ops.linear * calls, ops.self_attention * calls, ops.cross_attention * calls,
                    ops.convolution * calls};
}

void Add(ForwardOps& sum, const ForwardOps& ops) {
  sum.linear += ops.linear;
  sum.self_attention += ops.self_attention;
  sum.cross_attention += ops.cross_attention;
  sum.convolution += ops.convolution;
}

// Counts of the run that was made.
absl::Status CountContender(Contender& contender, const GenerateResult& result,
                            const GenerateRequest& request) {
  const GenerateSettings& settings = result.settings;
  const ModelView& shapes = contender.runner->shapes();
  const int64_t text_tokens =
      request.prompt_embeds.defined() ? request.prompt_embeds.size(1) : TextLength(shapes);
  WANLITE_ASSIGN_OR_RETURN(ModelView weights, contender.runner->folder().BuildView());
  WANLITE_ASSIGN_OR_RETURN(const auto nonzero, NonZeroFractions(weights));
  ModelReport& report = contender.report;
  WANLITE_ASSIGN_OR_RETURN(
      report.ops,
      CountOps(shapes, VideoShape{settings.frames, settings.height, settings.width, text_tokens},
               nonzero));
  report.calls = result.calls;
  for (const auto& [name, ops] : report.ops.denoisers) {
    const auto calls = result.calls.find(name);
    if (calls == result.calls.end()) continue;
    Add(report.step,
        Times(ops, static_cast<double>(calls->second) / static_cast<double>(settings.steps)));
  }
  return absl::OkStatus();
}

absl::StatusOr<GenerateResult> Run(Contender& contender, const GenerateRequest& request,
                                   bool timed) {
  absl::StatusOr<GenerateResult> result = contender.runner->Generate(request);
  if (!result.ok()) return Annotate(result.status(), contender.report.dir);
  if (timed) {
    contender.seconds.push_back(result->text_seconds + result->denoise_seconds +
                                result->decode_seconds);
    contender.denoise_seconds.push_back(result->denoise_seconds);
  }
  return result;
}

// Adds one case to the sums in `paired`.
absl::Status Compare(const GenerateResult& original, const GenerateResult& compressed,
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

}  // namespace

absl::StatusOr<EvaluateReport> Evaluate(Env& env, const ArchitectureRegistry& architectures,
                                        const EvaluateOptions& options) {
  if (options.seeds < 1 || options.repeats < 1) {
    return absl::InvalidArgumentError(absl::StrCat("seeds is ", options.seeds, " and repeats ",
                                                   options.repeats, ", both must be at least 1"));
  }
  WANLITE_ASSIGN_OR_RETURN(Contender original,
                           OpenContender(env, architectures, options.original, options.runner));
  WANLITE_ASSIGN_OR_RETURN(Contender compressed,
                           OpenContender(env, architectures, options.compressed, options.runner));

  EvaluateReport report;
  GenerateRequest request = options.request;
  // Pixels are compared only when both have a VAE.
  request.decode = request.decode && original.runner->shapes().FindComponent("vae") != nullptr &&
                   compressed.runner->shapes().FindComponent("vae") != nullptr;
  WANLITE_ASSIGN_OR_RETURN(report.settings, original.runner->Resolve(request));
  // Both run what the original's defaults say.
  const GenerateSettings& settings = report.settings;
  request.negative_prompt = settings.negative_prompt;
  request.steps = settings.steps;
  request.frames = settings.frames;
  request.height = settings.height;
  request.width = settings.width;
  request.guidance = settings.guidance;
  request.guidance_2 = settings.guidance_2;
  request.shift = settings.shift;
  request.sampler = settings.sampler;

  report.prompts = options.prompts;
  if (request.prompt_embeds.defined()) report.prompts = {"(given embeddings)"};
  if (report.prompts.empty()) report.prompts = settings.prompts;
  if (report.prompts.empty()) report.prompts = {kNeutralPrompt};
  report.seeds = request.initial_latents.defined() ? 1 : options.seeds;
  report.first_seed = options.request.seed;
  const int64_t cases = static_cast<int64_t>(report.prompts.size()) * report.seeds;
  const auto set_case = [&](int64_t index) {
    request.prompt = report.prompts[static_cast<size_t>(index / report.seeds)];
    request.seed = report.first_seed + static_cast<uint64_t>(index % report.seeds);
  };

  report.paired.identical = true;
  const int64_t runs = std::max(cases, options.repeats);
  // Run -1 warms up on the first case.
  for (int64_t run = -1; run < runs; ++run) {
    const int64_t index = std::max<int64_t>(run, 0) % cases;
    set_case(index);
    absl::StatusOr<GenerateResult> a, b;
    const bool original_first = run % 2 == 0;
    if (original_first) a = Run(original, request, run >= 0);
    if (!original_first || a.ok()) b = Run(compressed, request, run >= 0);
    if (!original_first && b.ok()) a = Run(original, request, run >= 0);
    WANLITE_RETURN_IF_ERROR(original_first ? a.status() : b.status());
    WANLITE_RETURN_IF_ERROR(original_first ? b.status() : a.status());
    if (run == -1) {
      WANLITE_RETURN_IF_ERROR(CountContender(original, *a, request));
      WANLITE_RETURN_IF_ERROR(CountContender(compressed, *b, request));
      report.original_frames = a->frames;
      report.compressed_frames = b->frames;
    } else if (run < cases) {
      WANLITE_RETURN_IF_ERROR(Compare(*a, *b, report.paired));
    }
  }
  const double n = static_cast<double>(report.paired.cases);
  report.paired.latent_mse /= n;
  report.paired.psnr_db /= n;
  report.paired.ssim /= n;
  for (Contender* contender : {&original, &compressed}) {
    contender->report.latency = SpreadOf(contender->seconds);
    contender->report.denoise_latency = SpreadOf(contender->denoise_seconds);
    // Free the weights first: the other process wants the memory.
    contender->runner.reset();
  }
  if (options.peak_rss) {
    for (Contender* contender : {&original, &compressed}) {
      WANLITE_ASSIGN_OR_RETURN(contender->report.peak_rss_bytes,
                               options.peak_rss(report, contender->report.dir));
    }
  }
  report.original = std::move(original.report);
  report.compressed = std::move(compressed.report);
  return report;
}

}  // namespace wanlite
