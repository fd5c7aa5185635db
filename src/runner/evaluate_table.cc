// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/runner/evaluate.h"
#include "src/runner/text_table.h"

namespace wanlite {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kGiga = 1e9;

Json PartsJson(const ForwardOps& ops) {
  return Json{{"linear", ops.linear.dense / kGiga},
              {"self_attention", ops.self_attention.dense / kGiga},
              {"cross_attention", ops.cross_attention.dense / kGiga},
              {"convolution", ops.convolution.dense / kGiga},
              {"total", ops.total().dense / kGiga},
              {"effective", ops.total().effective / kGiga},
              {"realised", ops.total().realised / kGiga},
              {"int8", ops.total().int8 / kGiga}};
}

Json SpreadJson(const Spread& spread) {
  return Json{{"median", spread.median},
              {"min", spread.min},
              {"max", spread.max},
              {"quartile_low", spread.quartile_low},
              {"quartile_high", spread.quartile_high},
              {"runs", spread.runs}};
}

Json ModelJson(const ModelReport& model) {
  Json gflop;
  for (const auto& [name, ops] : model.ops.denoisers) gflop[name] = PartsJson(ops);
  gflop["step"] = PartsJson(model.step);
  gflop["text_encoder"] = PartsJson(model.ops.text_encoder);
  gflop["vae_decode"] = PartsJson(model.ops.vae_decode);
  Json json{{"path", model.dir},
            {"bytes", model.bytes},
            {"parameters", model.parameters},
            {"component_parameters", model.component_parameters},
            {"gflop_per_step", model.step.total().dense / kGiga},
            {"effective_gflop_per_step", model.step.total().effective / kGiga},
            {"int8_gop_per_step", model.step.total().int8 / kGiga},
            {"gflop", gflop},
            {"calls", model.calls},
            {"latency_s", SpreadJson(model.latency)},
            {"denoise_latency_s", SpreadJson(model.denoise_latency)}};
  json["peak_rss_bytes"] = model.peak_rss_bytes > 0 ? Json(model.peak_rss_bytes) : Json();
  return json;
}

std::string SpreadText(const Spread& spread) {
  return absl::StrCat(FormatSeconds(spread.median), " (", FormatFixed(spread.min, 2), " to ",
                      FormatFixed(spread.max, 2), ")");
}

}  // namespace

std::string EvaluationJson(const EvaluateReport& report) {
  const PairedReport& paired = report.paired;
  const GenerateSettings& settings = report.settings;
  const Json json{{"original", ModelJson(report.original)},
                  {"compressed", ModelJson(report.compressed)},
                  {"paired",
                   {{"latent_mse", paired.latent_mse},
                    {"psnr_db", paired.has_frames ? Json(paired.psnr_db) : Json()},
                    {"ssim", paired.has_frames ? Json(paired.ssim) : Json()},
                    {"identical", paired.identical},
                    {"cases", paired.cases}}},
                  {"settings",
                   {{"prompts", report.prompts},
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
                    {"sampler", std::string(SamplerName(settings.sampler))}}}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string EvaluationTable(const EvaluateReport& report) {
  const ModelReport& a = report.original;
  const ModelReport& b = report.compressed;
  std::vector<std::vector<std::string>> rows{{"", "original", "compressed", "ratio"}};
  const auto bytes = [&](const std::string& what, int64_t x, int64_t y) {
    rows.push_back({what, FormatBytes(x), FormatBytes(y),
                    FormatRatio(static_cast<double>(y), static_cast<double>(x))});
  };
  const auto ops = [&](const std::string& what, double x, double y) {
    if (x > 0 || y > 0) rows.push_back({what, FormatOps(x), FormatOps(y), FormatRatio(y, x)});
  };
  const auto parts = [&](const std::string& what, const ForwardOps& x, const ForwardOps& y) {
    ops(what, x.total().dense, y.total().dense);
    ops("  linear", x.linear.dense, y.linear.dense);
    ops("  self-attention", x.self_attention.dense, y.self_attention.dense);
    ops("  cross-attention", x.cross_attention.dense, y.cross_attention.dense);
    ops("  convolution", x.convolution.dense, y.convolution.dense);
  };
  bytes("size", a.bytes, b.bytes);
  rows.push_back(
      {"parameters", FormatCount(a.parameters), FormatCount(b.parameters),
       FormatRatio(static_cast<double>(b.parameters), static_cast<double>(a.parameters))});
  parts("operations per step", a.step, b.step);
  ops("  without zero weights", a.step.total().effective, b.step.total().effective);
  ops("  of them INT8", a.step.total().int8, b.step.total().int8);
  for (const auto& [name, forward] : a.ops.denoisers) {
    const auto other = b.ops.denoisers.find(name);
    ops(name + ", one forward", forward.total().dense,
        other == b.ops.denoisers.end() ? 0 : other->second.total().dense);
  }
  ops("text encoder, one prompt", a.ops.text_encoder.total().dense,
      b.ops.text_encoder.total().dense);
  ops("VAE decode", a.ops.vae_decode.total().dense, b.ops.vae_decode.total().dense);
  rows.push_back({"latency, median (range)", SpreadText(a.latency), SpreadText(b.latency),
                  FormatRatio(b.latency.median, a.latency.median)});
  rows.push_back({"  denoising alone", SpreadText(a.denoise_latency), SpreadText(b.denoise_latency),
                  FormatRatio(b.denoise_latency.median, a.denoise_latency.median)});
  if (a.peak_rss_bytes > 0) bytes("peak memory, own process", a.peak_rss_bytes, b.peak_rss_bytes);

  const GenerateSettings& settings = report.settings;
  const PairedReport& paired = report.paired;
  std::string text = FormatTable(rows);
  absl::StrAppend(&text, "\nSame noise, same prompts (", paired.cases, " clips of ",
                  settings.frames, " frames ", settings.width, "x", settings.height, ", ",
                  settings.steps, " steps): ");
  if (paired.identical) {
    absl::StrAppend(&text, "identical.\n");
  } else {
    absl::StrAppend(&text, "latent MSE ", paired.latent_mse);
    if (paired.has_frames) {
      absl::StrAppend(&text, ", PSNR ", FormatFixed(paired.psnr_db, 2), " dB, SSIM ",
                      FormatFixed(paired.ssim, 4));
    }
    absl::StrAppend(&text, ".\n");
  }
  absl::StrAppend(&text,
                  "Operations are 2 per multiply-add and the same in INT8. Zero weights save no "
                  "time: no kernel of this build skips them.\n");
  return text;
}

}  // namespace wanlite
