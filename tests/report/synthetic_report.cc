// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/report/synthetic_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite {
namespace {

OpCount Count(double dense, double nonzero, double int8) {
  OpCount count;
  count.dense = dense;
  count.effective = dense * nonzero;
  count.realised = dense;
  count.int8 = dense * int8;
  count.bops = dense / 2 * (int8 > 0 ? 64 : 1024);
  return count;
}

ForwardOps Forward(double scale, double nonzero, double int8) {
  ForwardOps ops;
  ops.linear = Count(230e6 * scale, nonzero, int8);
  ops.self_attention = Count(24e6 * scale, 1, 0);
  ops.cross_attention = Count(4e6 * scale, 1, 0);
  ops.convolution = Count(1.5e6 * scale, 1, 0);
  ops.other = 6e6 * scale;
  return ops;
}

Spread SpreadAround(double seconds) {
  return {seconds, seconds * 0.94, seconds * 1.09, seconds * 0.97, seconds * 1.03, 5};
}

// A disc that moves over a dark ground, with noise of a given strength.
at::Tensor Clip(int which, double noise) {
  const int64_t frames = 17, side = 64;
  const at::Tensor ys = torch::arange(side).view({1, side, 1, 1});
  const at::Tensor xs = torch::arange(side).view({1, 1, side, 1});
  const at::Tensor t = torch::arange(frames).view({frames, 1, 1, 1});
  const at::Tensor cx = which % 2 == 0 ? 10 + t * 2.6 : 32 + t * 0;
  const at::Tensor cy = which % 2 == 0 ? 32 + t * 0 : 52 - t * 2.4;
  const at::Tensor disc = torch::sigmoid(9 - torch::sqrt((ys - cy).pow(2) + (xs - cx).pow(2)));
  const at::Tensor colour = torch::tensor({220.0, 60.0 + 70 * which, 40.0}).view({1, 1, 1, 3});
  at::Tensor clip = 18 + disc * colour;
  if (noise > 0) clip = clip + noise * torch::randn(clip.sizes());
  return clip.clamp(0, 255).to(at::kByte).contiguous();
}

SetDistance Distance(double frechet, double spread) {
  SetDistance distance;
  distance.frechet = frechet;
  distance.interval = {frechet - spread * 0.6, frechet + spread};
  distance.kernel = frechet / 900;
  distance.n_real = distance.n_generated = 256;
  distance.dim = 128;
  return distance;
}

SetQuality Quality(double damage, bool original) {
  SetQuality quality;
  quality.clips = 256;
  for (const char* language : {"English", "Chinese", "Japanese", "all"}) {
    LanguageQuality row{language, 64, true, 0.62 - damage / 100, 0.41 - damage / 50};
    row.has_reading = true;
    row.digit = 0.28 - damage / 200;
    row.direction = std::min(0.97 - damage / 100, 0.995);
    row.colour = 0.99;
    row.digit_consistency = 0.52 - damage / 200;
    quality.languages.push_back(row);
  }
  quality.flicker = {256, 0.0213 + damage / 5000, 0.0177, 0.118 + damage / 1000};
  quality.to_real = {Distance(41.3 + damage, 2.4), Distance(6.1 + damage / 4, 0.5)};
  if (!original) {
    quality.change = {{damage, {damage - 0.9, damage + 1.1, damage}},
                      {damage / 4, {damage / 4 - 0.2, damage / 4 + 0.2, damage / 4}}};
  }
  if (!original) quality.to_original = {Distance(damage, 0.4), Distance(damage / 6, 0.1)};
  return quality;
}

ModelReport Model(const std::string& name, double size, double nonzero, double int8,
                  const SyntheticOptions& options) {
  ModelReport model;
  model.dir = "models/" + name;
  model.name = name;
  model.bytes = static_cast<int64_t>(9.89e6 * size);
  model.parameters = 4'240'000;
  for (const char* expert : {"transformer", "transformer_2"}) {
    model.ops.denoisers[expert] = Forward(1, nonzero, int8);
    model.calls[expert] = 20;
  }
  model.ops.text_encoder = Forward(0.1, 1, int8);
  model.calls["text_encoder"] = 2;
  if (options.vae) {
    model.ops.vae_decode.convolution = Count(2.6e9, 1, 0);
    model.calls["vae.decode"] = 1;
  }
  model.step = Forward(2, nonzero, int8);
  model.generation = Forward(40, nonzero, int8);
  model.latency = SpreadAround(0.76 * (1.1 - int8 * 0.2));
  model.denoise_latency = SpreadAround(0.33 * (1 - int8 * 0.2));
  if (options.vae) model.decode_latency = SpreadAround(0.42);
  model.peak_rss_bytes = options.memory ? static_cast<int64_t>(213e6 * (1 + int8 * 0.08)) : 0;
  const char* linears[] = {"self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "ffn.0"};
  for (int i = 0; i < 30; ++i) {
    LayerReport layer;
    layer.path = absl::StrCat("transformer.blocks.", i / 5, ".", linears[i % 5]);
    layer.format = int8 > 0 ? "int8" : "dense";
    layer.out_features = i % 5 == 4 ? 512 : 128;
    layer.in_features = 128;
    layer.bytes = layer.out_features * 128 * (int8 > 0 ? 1 : 2);
    layer.nonzero = nonzero;
    layer.relative_error = int8 > 0 || nonzero < 1 ? 0.004 + 0.0003 * i : 0;
    model.layers.push_back(layer);
  }
  return model;
}

CandidateReport Candidate(int index, const SyntheticOptions& options) {
  const char* names[] = {"int8-convrot", "pruned-30", "pruned-30-int8", "int8-plain", "pruned-60"};
  const double sizes[] = {0.69, 1.0, 0.69, 0.685, 1.0}, nonzero[] = {1, 0.7, 0.7, 1, 0.4};
  const double int8[] = {0.9, 0, 0.9, 0.9, 0}, damage[] = {1.2, 3.9, 5.2, 2.4, 19};
  const int k = index % 5;
  CandidateReport candidate;
  candidate.model = Model(names[k], sizes[k], nonzero[k], int8[k], options);
  candidate.model.lineage = {{"quantize-int8",
                              "rotation: CONVROT\nexclude: \"*.head\"\n",
                              {{"mean_relative_error", 0.00563768}, {"quantized_layers", 120}}}};
  PairedReport& paired = candidate.paired;
  paired.cases = 4;
  paired.latency_ratio = {1.02, 0.95, 1.11, 0.99, 1.05, 5};
  paired.latent_mse = 0.00091 * damage[k];
  paired.has_frames = options.vae;
  paired.psnr_db = options.vae ? 47.2 - damage[k] : std::nan("");
  paired.ssim = options.vae ? 0.998 - damage[k] / 100 : std::nan("");
  for (int step = 0; step < 20; ++step) {
    const double timestep = 1000 - 50 * step;
    paired.velocity.push_back({timestep, timestep > 875 ? "transformer" : "transformer_2",
                               1 - 2e-5 * damage[k] * (1 + step), 0.01});
  }
  if (options.set) candidate.quality = Quality(damage[k], false);
  if (options.vae) {
    for (int i = 0; i < 3; ++i) {
      candidate.examples.push_back({"", 7u + i, Clip(i, damage[k])});
    }
  }
  return candidate;
}

ExtractorReport Extractor(const std::string& name, int64_t dim, double floor) {
  ExtractorReport extractor;
  extractor.name = name;
  extractor.digest = std::string(64, 'a');
  extractor.preprocessing = "Frames are resized to 27x48 by area averages; values 0 to 255.";
  extractor.dim = dim;
  extractor.clips = 256;
  extractor.frames = 17;
  extractor.height = extractor.width = 64;
  extractor.divisor = "n-1";
  extractor.floor = Distance(floor, floor / 10);
  extractor.shuffled = Distance(floor * 2.4, floor / 10);
  extractor.frozen = Distance(floor * 3.6, floor / 10);
  extractor.temporal_check = true;
  return extractor;
}

}  // namespace

EvaluateReport SyntheticReport(const SyntheticOptions& options) {
  at::manual_seed(3);
  EvaluateReport report;
  report.original = Model("wan-digits", 1, 1, 0, options);
  if (options.set) {
    report.set_name = "digits";
    report.extractors = {Extractor("FD-TransNetV2", 448, 12.2), Extractor("FD-Digits", 128, 1.3)};
    report.extractors[0].warning =
        "256 clips are not more than the 448 features: the distance ranks, no more";
    report.original_quality = Quality(0, true);
    report.real_quality = Quality(-20, true);
    report.real_quality->to_real.clear();
  }
  const std::vector<std::string> prompts{"a red digit 3 moves right", "蓝色的数字七向上移动",
                                         "緑色の数字5が左に動く"};
  for (size_t i = 0; options.vae && i < prompts.size(); ++i) {
    report.original_examples.push_back({prompts[i], 7 + i, Clip(static_cast<int>(i), 0)});
  }
  for (int i = 0; i < options.candidates; ++i) report.candidates.push_back(Candidate(i, options));
  GenerateSettings& settings = report.settings;
  settings.steps = 20;
  settings.frames = 17;
  settings.height = settings.width = 64;
  settings.boundary_ratio = 0.875;
  settings.fps = 8;
  report.prompts = prompts;
  report.first_seed = 7;
  report.seeds = 2;
  report.machine = {"AMD EPYC 9R14",
                    2,
                    {"avx2", "avx512_vnni"},
                    int64_t{8} << 30,
                    "Linux 6.1 x86_64",
                    "GCC 12.2.0",
                    "2.11.0",
                    "0.1.0",
                    "0123abc",
                    "cpu"};
  return report;
}

}  // namespace wanlite
