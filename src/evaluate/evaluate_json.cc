// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/evaluate/evaluate.h"

namespace wanlite {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kGiga = 1e9;

// JSON has no NaN or infinity.
Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json PartsJson(const ForwardOps& ops) {
  const OpCount total = ops.total();
  return Json{{"linear", ops.linear.dense / kGiga},
              {"self_attention", ops.self_attention.dense / kGiga},
              {"cross_attention", ops.cross_attention.dense / kGiga},
              {"convolution", ops.convolution.dense / kGiga},
              {"total", total.dense / kGiga},
              {"effective", total.effective / kGiga},
              {"realised", total.realised / kGiga},
              {"int8", total.int8 / kGiga},
              {"bops", total.bops / kGiga},
              {"other", ops.other / kGiga}};
}

Json SpreadJson(const Spread& spread) {
  return Json{{"median", Number(spread.median)},
              {"min", Number(spread.min)},
              {"max", Number(spread.max)},
              {"quartile_low", Number(spread.quartile_low)},
              {"quartile_high", Number(spread.quartile_high)},
              {"runs", spread.runs}};
}

Json LayersJson(const std::vector<LayerReport>& layers) {
  Json json = Json::array();
  for (const LayerReport& layer : layers) {
    json.push_back({{"path", layer.path},
                    {"format", layer.format},
                    {"shape", {layer.out_features, layer.in_features}},
                    {"bytes", layer.bytes},
                    {"nonzero", layer.nonzero},
                    {"relative_error", Number(layer.relative_error)}});
  }
  return json;
}

Json ModelJson(const ModelReport& model) {
  Json gflop;
  for (const auto& [name, ops] : model.ops.denoisers) gflop[name] = PartsJson(ops);
  gflop["step"] = PartsJson(model.step);
  gflop["text_encoder"] = PartsJson(model.ops.text_encoder);
  gflop["vae_decode"] = PartsJson(model.ops.vae_decode);
  gflop["generation"] = PartsJson(model.generation);
  Json lineage = Json::array();
  for (const LineageReport& entry : model.lineage) {
    Json metrics = Json::object();
    for (const auto& [name, value] : entry.metrics) metrics[name] = Number(value);
    lineage.push_back({{"pass", entry.pass}, {"options", entry.options}, {"metrics", metrics}});
  }
  Json json{{"path", model.dir},
            {"name", model.name},
            {"bytes", model.bytes},
            {"parameters", model.parameters},
            {"component_parameters", model.component_parameters},
            {"gflop_per_step", model.step.total().dense / kGiga},
            {"effective_gflop_per_step", model.step.total().effective / kGiga},
            {"int8_gop_per_step", model.step.total().int8 / kGiga},
            {"gflop", gflop},
            {"calls", model.calls},
            {"latency_s", SpreadJson(model.latency)},
            {"denoise_latency_s", SpreadJson(model.denoise_latency)},
            {"decode_latency_s", SpreadJson(model.decode_latency)}};
  json["peak_rss_bytes"] = model.peak_rss_bytes > 0 ? Json(model.peak_rss_bytes) : Json();
  if (!model.peak_rss_warning.empty()) json["peak_rss_warning"] = model.peak_rss_warning;
  json["lineage"] = lineage;
  json["layers"] = LayersJson(model.layers);
  return json;
}

Json PairedJson(const PairedReport& paired) {
  Json velocity = Json::array();
  for (const VelocityAgreement& step : paired.velocity) {
    velocity.push_back({{"timestep", step.timestep},
                        {"component", step.component},
                        {"cosine", Number(step.cosine)},
                        {"relative_error", Number(step.relative_error)}});
  }
  return Json{{"latent_mse", Number(paired.latent_mse)},
              {"psnr_db", paired.has_frames ? Number(paired.psnr_db) : Json()},
              {"ssim", paired.has_frames ? Number(paired.ssim) : Json()},
              {"identical", paired.identical},
              {"cases", paired.cases},
              {"latency_ratio", SpreadJson(paired.latency_ratio)},
              {"velocity", velocity}};
}

Json DistanceJson(const SetDistance& distance) {
  return Json{{"frechet", Number(distance.frechet)},
              {"interval", {Number(distance.interval.low), Number(distance.interval.high)}},
              {"kernel_distance", Number(distance.kernel)},
              {"n_real", distance.n_real},
              {"n_generated", distance.n_generated},
              {"dim", distance.dim}};
}

Json QualityJson(const EvaluateReport& report, const SetQuality& quality) {
  Json languages = Json::object();
  for (const LanguageQuality& row : quality.languages) {
    Json& language = languages[row.language];
    language = {{"clips", row.clips}};
    if (row.has_alignment) {
      language["alignment"] = Number(row.alignment);
      language["retrieval"] = row.retrieval;
    }
    if (row.has_reading) {
      language["digit"] = row.digit;
      language["direction"] = row.direction;
      language["colour"] = row.colour;
      language["digit_consistency"] = row.digit_consistency;
    }
  }
  Json json{{"clips", quality.clips},
            {"languages", languages},
            {"flicker",
             {{"frame_difference", Number(quality.flicker.frame_difference)},
              {"second_difference", Number(quality.flicker.second_difference)},
              {"high_frequency_energy", Number(quality.flicker.high_frequency_energy)}}}};
  Json distances = Json::object();
  for (size_t e = 0; e < quality.to_real.size(); ++e) {
    Json& entry = distances[report.extractors[e].name];
    entry["to_real"] = DistanceJson(quality.to_real[e]);
    const double floor = report.extractors[e].floor.frechet;
    entry["over_floor"] = floor > 0 ? Number(quality.to_real[e].frechet / floor) : Json();
    if (quality.change.empty()) continue;
    const DistanceChange& change = quality.change[e];
    entry["to_original"] = DistanceJson(quality.to_original[e]);
    entry["delta"] = Number(change.frechet);
    entry["delta_interval"] = {Number(change.interval.low), Number(change.interval.high)};
  }
  if (!distances.empty()) json["distances"] = distances;
  return json;
}

Json ExtractorJson(const ExtractorReport& extractor) {
  return Json{{"name", extractor.name},
              {"digest", extractor.digest},
              {"preprocessing", extractor.preprocessing},
              {"dim", extractor.dim},
              {"clips", extractor.clips},
              {"frames", extractor.frames},
              {"height", extractor.height},
              {"width", extractor.width},
              {"divisor", extractor.divisor},
              {"floor", DistanceJson(extractor.floor)},
              {"shuffled", DistanceJson(extractor.shuffled)},
              {"frozen", DistanceJson(extractor.frozen)},
              {"temporal_check", extractor.temporal_check},
              {"warning", extractor.warning}};
}

Json MachineJson(const EvaluateReport& report) {
  const MachineInfo& machine = report.machine;
  return Json{{"cpu", machine.cpu},
              {"logical_cores", machine.logical_cores},
              {"threads", report.threads},
              {"cpu_features", machine.cpu_features},
              {"memory_bytes", machine.memory_bytes},
              {"system", machine.system},
              {"compiler", machine.compiler},
              {"libtorch", machine.libtorch},
              {"wanlite", machine.wanlite},
              {"commit", machine.commit},
              {"device", machine.device}};
}

Json CandidateJson(const EvaluateReport& report, const CandidateReport& candidate) {
  Json json{{"model", ModelJson(candidate.model)}, {"paired", PairedJson(candidate.paired)}};
  if (candidate.quality.has_value()) {
    json["quality"] = QualityJson(report, *candidate.quality);
  }
  return json;
}

}  // namespace

std::string EvaluationJson(const EvaluateReport& report) {
  const GenerateSettings& settings = report.settings;
  Json json{{"original", ModelJson(report.original)}};
  // The first candidate also stands under "compressed" and "paired", where most runs have one
  // alone.
  const bool any = !report.candidates.empty();
  json["compressed"] = any ? ModelJson(report.candidates.front().model) : Json();
  json["paired"] = any ? PairedJson(report.candidates.front().paired) : Json();
  json["candidates"] = Json::array();
  for (const CandidateReport& candidate : report.candidates) {
    json["candidates"].push_back(CandidateJson(report, candidate));
  }
  if (!report.set_name.empty()) {
    Json set{
        {"name", report.set_name},
        {"text_video_encoder", report.encoder_name.empty() ? Json() : Json(report.encoder_name)},
        {"extractors", Json::array()}};
    for (const ExtractorReport& extractor : report.extractors) {
      set["extractors"].push_back(ExtractorJson(extractor));
    }
    set["original"] = QualityJson(report, *report.original_quality);
    if (report.real_quality.has_value()) {
      set["real"] = QualityJson(report, *report.real_quality);
    }
    json["set"] = set;
  }
  json["settings"] = {{"prompts", report.prompts},
                      {"negative_prompt", settings.negative_prompt},
                      {"first_seed", report.first_seed},
                      {"seeds", report.seeds},
                      {"steps", settings.steps},
                      {"frames", settings.frames},
                      {"height", settings.height},
                      {"width", settings.width},
                      {"guidance", settings.guidance},
                      {"guidance_2", settings.guidance_2},
                      {"shift", settings.shift},
                      {"boundary_ratio", settings.boundary_ratio},
                      {"sampler", std::string(SamplerName(settings.sampler))}};
  if (settings.boundary_step) json["settings"]["boundary_step"] = *settings.boundary_step;
  if (!settings.timesteps.empty()) json["settings"]["timesteps"] = settings.timesteps;
  json["warnings"] = report.warnings;
  json["machine"] = MachineJson(report);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace wanlite
