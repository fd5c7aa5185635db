// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs the program as a user does, on a tiny model folder.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/wan/config.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;

using testing::FinishWanlite;
using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::StartWanlite;
using testing::TempFolder;
using testing::Write;

// The tiny model, made once.
const std::string& TinyModel() {
  static const TempFolder& temp = *new TempFolder;
  static const std::string& dir = *[] {
    auto* path = new std::string(temp / "model");
    REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), *path));
    return path;
  }();
  return dir;
}

std::map<std::string, at::Tensor> ReadAll(const std::string& path) {
  ASSERT_OK_AND_ASSIGN(const auto source, OpenSafetensors(PosixEnv(), path));
  std::map<std::string, at::Tensor> tensors;
  for (const TensorInfo& info : source->tensors()) {
    ASSERT_OK_AND_ASSIGN(tensors[info.name], source->Read(info.name));
  }
  return tensors;
}

TEST_CASE("Every command has help with an example") {
  for (const char* command :
       {"inspect", "plan", "compress", "generate", "evaluate", "convert", "train", "export-lora",
        "extract-lora", "forward", "flops", "report-curves", "report-training", "version"}) {
    const Outcome outcome = RunWanlite({command, "--help"});
    INFO(command);
    CHECK(outcome.code == 0);
    CHECK(absl::StrContains(outcome.out, absl::StrCat("Example:\n  wanlite ", command)));
    CHECK(outcome.err.empty());
  }
  const Outcome root = RunWanlite({"--help"});
  CHECK(root.code == 0);
  CHECK(absl::StrContains(root.out, "Exit codes:"));
}

TEST_CASE("Wrong use ends with code 2 and one line that says what is wrong") {
  CHECK(RunWanlite({}).code == 2);
  const Outcome unknown = RunWanlite({"compres"});
  CHECK(unknown.code == 2);
  CHECK(absl::StrContains(unknown.err, "unknown command 'compres'"));
  const Outcome flag = RunWanlite({"inspect", "--model", "x", "--colour"});
  CHECK(flag.code == 2);
  CHECK(absl::StrContains(flag.err, "--colour"));
  const Outcome missing = RunWanlite({"inspect"});
  CHECK(missing.code == 2);
  CHECK(absl::StrContains(missing.err, "--model"));
  const Outcome number = RunWanlite({"generate", "--model", "x", "--steps", "many"});
  CHECK(number.code == 2);
  CHECK(number.out.empty());
}

TEST_CASE("Errors are one line without a backtrace, with the code of their family") {
  const TempFolder temp;
  const Outcome absent = RunWanlite({"inspect", "--model", temp / "nothing"});
  CHECK(absent.code == 4);
  CHECK(absl::StartsWith(absent.err, "wanlite inspect: "));
  CHECK(std::count(absent.err.begin(), absent.err.end(), '\n') == 1);

  Write(temp / "bad.textproto", "passes { prune_magnitude { amount: 1.5 } }\n");
  const Outcome amount =
      RunWanlite({"plan", "--model", TinyModel(), "--recipe", temp / "bad.textproto"});
  CHECK(amount.code == 3);
  CHECK(absl::StrContains(amount.err, "amount"));

  const Outcome size = RunWanlite({"generate", "--model", TinyModel(), "--prompt", "a", "--frames",
                                   "6", "--out", temp / "a.png"});
  CHECK(size.code == 3);
  CHECK(absl::StrContains(size.err, "5 or 9"));

  const Outcome ending =
      RunWanlite({"generate", "--model", TinyModel(), "--prompt", "a", "--out", temp / "a.avi"});
  CHECK(ending.code == 3);
  CHECK(absl::StrContains(ending.err, ".webp"));

  const Outcome folder = RunWanlite(
      {"generate", "--model", TinyModel(), "--prompt", "a", "--out", temp / "no/such/a.png"});
  CHECK(folder.code == 4);

  const Outcome device = RunWanlite({"generate", "--model", TinyModel(), "--prompt", "a",
                                     "--device", "tpu", "--out", temp / "a.png"});
  CHECK(device.code == 3);
  CHECK(absl::StrContains(device.err, "cuda"));
}

TEST_CASE("inspect tells components, sizes and tensors") {
  const Json json = RunWanliteJson({"inspect", "--model", TinyModel(), "--tensors"});
  CHECK(json["layout"] == "diffusers");
  REQUIRE(json["components"].size() == 4);
  CHECK(json["components"][0]["name"] == "transformer");
  CHECK(json["components"][0]["blocks"] == 2);
  CHECK(json["components"][3]["name"] == "vae");
  int64_t parameters = 0;
  for (const Json& tensor : json["tensors"]) {
    int64_t numel = 1;
    for (const int64_t size : tensor["shape"]) numel *= size;
    parameters += numel;
  }
  CHECK(json["parameters"] == parameters);
  CHECK(json["bytes"] == 4 * parameters);
}

TEST_CASE("plan and flops need configs alone, for A14B in seconds") {
  const TempFolder temp;
  const auto start = std::chrono::steady_clock::now();
  for (const char* name : {"transformer", "transformer_2"}) {
    REQUIRE_OK(PosixEnv().CreateFolders(temp / (std::string("a14b/") + name)));
    Write(temp / (std::string("a14b/") + name + "/config.json"),
          wan::DitConfigJson(wan::DitConfig{}));
  }
  Write(temp / "int8.textproto", "passes { quantize_int8 { } }\n");
  const Json plan =
      RunWanliteJson({"plan", "--model", temp / "a14b", "--recipe", temp / "int8.textproto",
                      "--height", "480", "--width", "832", "--frames", "81"});
  REQUIRE(plan["passes"].size() == 1);
  CHECK(plan["passes"][0]["bytes_before"].get<double>() == Approx(2 * 2 * 14288491584.0));
  CHECK(plan["passes"][0]["bytes_after"].get<double>() < 0.53 * 2 * 2 * 14288491584.0);
  CHECK(plan["gflop_before"]["transformer"]["total"].get<double>() / 1e6 ==
        Approx(1.678).margin(0.001));
  CHECK(plan["gflop_after"]["transformer"]["total"] ==
        plan["gflop_before"]["transformer"]["total"]);
  CHECK(plan["gflop_after"]["transformer"]["int8"].get<double>() > 0.7e6);

  const Json flops = RunWanliteJson({"flops", "--config", temp / "a14b/transformer/config.json",
                                     "--height", "720", "--width", "1280", "--frames", "81"});
  CHECK(flops["gflop"]["total"].get<double>() / 1e6 == Approx(6.523).margin(0.001));
  CHECK(flops["parameters"] == 14288491584);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  CHECK(seconds.count() < 15);  // two processes on a busy machine
  // The recipes in the box for this model, by its configs alone.
  REQUIRE_OK(PosixEnv().CreateFolders(temp / "a14b/text_encoder"));
  Write(temp / "a14b/text_encoder/config.json", wan::Umt5ConfigJson(wan::Umt5Config{}));
  int recipes = 0;
  for (const auto& entry : std::filesystem::directory_iterator("examples/recipes")) {
    const std::string recipe = entry.path();
    if (!absl::StrContains(recipe, "/a14b_")) continue;
    INFO(recipe);
    const Json all = RunWanliteJson({"plan", "--model", temp / "a14b", "--recipe", recipe});
    const double after = all["passes"].back()["bytes_after"],
                 before = all["passes"][0]["bytes_before"];
    // Fewer steps of the same network.
    CHECK((absl::StrContains(recipe, "4step") ? after == before : after < before));
    ++recipes;
  }
  CHECK(recipes >= 9);
}

TEST_CASE(
    "Rounds of a repeat are shown with their quality, and the one below the floor is not kept") {
  const TempFolder temp;
  Write(temp / "rounds.textproto",
        "passes { repeat { rounds: 4 passes { prune_magnitude { amount: 0.8 } }\n"
        "floor { gauge: 'weight-cosine' at_least: 0.9 } } }\n");
  const Json plan =
      RunWanliteJson({"plan", "--model", TinyModel(), "--recipe", temp / "rounds.textproto"});
  REQUIRE(plan["passes"].size() == 4);
  CHECK(plan["passes"][2]["label"] == "3/4 prune-magnitude");
  CHECK(plan["passes"][2]["estimated"] == false);
  CHECK(plan["passes"][0]["gflop_before"] == plan["passes"][3]["gflop_after"]);
  const std::vector<std::string> compress{
      "compress", "--model", TinyModel(), "--recipe", temp / "rounds.textproto", "--out"};
  std::vector<std::string> to_json = compress;
  to_json.push_back(temp / "a");
  const Json report = RunWanliteJson(to_json);
  const Json& passes = report["passes"];
  REQUIRE(passes.size() >= 2);
  REQUIRE(passes.size() <= 4);
  for (size_t i = 0; i < passes.size(); ++i) {
    const bool kept = passes[i]["gauge"].get<double>() >= 0.9;
    CHECK(passes[i]["accepted"] == kept);
    CHECK(kept == (i + 1 < passes.size()));
  }
  CHECK(absl::StrContains(report["stopped"].get<std::string>(), "below the floor of 0.9"));
  std::vector<std::string> to_text = compress;
  to_text.push_back(temp / "b");
  const Outcome text = RunWanlite(to_text);
  REQUIRE(text.code == 0);
  CHECK(absl::StrContains(text.out, "1/4 prune-magnitude: "));
  CHECK(absl::StrContains(text.out, "below the floor: not part of the result"));
  CHECK(absl::StrContains(text.out, "stopped: "));
}

TEST_CASE("A model is compressed, inspected, run, evaluated and exported") {
  const TempFolder temp;
  Write(temp / "int8.textproto", "name: \"tiny\"\npasses { quantize_int8 { } }\n");
  const Json compress = RunWanliteJson({"compress", "--model", TinyModel(), "--recipe",
                                        temp / "int8.textproto", "--out", temp / "small"});
  CHECK(compress["bytes_after"].get<int64_t>() < compress["bytes_before"].get<int64_t>());
  // A second time the result is in the way.
  CHECK(RunWanlite({"compress", "--model", TinyModel(), "--recipe", temp / "int8.textproto",
                    "--out", temp / "small"})
            .code == 5);

  const Json inspect = RunWanliteJson({"inspect", "--model", temp / "small", "--verify"});
  CHECK(inspect["layout"] == "wanlite");
  CHECK(inspect["components"][0]["formats"]["int8"].get<int>() > 0);
  REQUIRE(inspect["lineage"].size() == 1);
  CHECK(inspect["lineage"][0]["pass"] == "quantize-int8");
  CHECK(inspect["lineage"][0]["recipe"] == "tiny");

  const Json generate = RunWanliteJson({"generate", "--model", temp / "small", "--prompt",
                                        "a red digit moves right", "--out", temp / "clip.png"});
  CHECK(PosixEnv().FileExists(temp / "clip.png"));
  CHECK(generate["settings"]["steps"] == 4);
  CHECK(generate["calls"]["transformer"].get<int>() +
            generate["calls"]["transformer_2"].get<int>() ==
        8);
  CHECK(generate["peak_rss_bytes"].get<int64_t>() > 0);

  const Json evaluate = RunWanliteJson({"evaluate", "--original", TinyModel(), "--compressed",
                                        temp / "small", "--seeds", "1", "--repeats", "2"});
  for (const char* model : {"original", "compressed"}) {
    for (const char* key : {"bytes", "parameters", "gflop_per_step", "peak_rss_bytes"}) {
      INFO(model << " " << key);
      REQUIRE(evaluate[model][key].is_number());
      CHECK(evaluate[model][key].get<double>() > 0);
    }
    CHECK(evaluate[model]["latency_s"]["median"].get<double>() >=
          evaluate[model]["latency_s"]["min"].get<double>());
    CHECK(evaluate[model]["latency_s"]["min"].get<double>() > 0);
  }
  CHECK(evaluate["original"]["parameters"] == evaluate["compressed"]["parameters"]);
  CHECK(evaluate["original"]["gflop_per_step"] == evaluate["compressed"]["gflop_per_step"]);
  CHECK(evaluate["original"]["int8_gop_per_step"] == 0);
  CHECK(evaluate["compressed"]["int8_gop_per_step"].get<double>() > 0);
  CHECK(evaluate["compressed"]["bytes"].get<int64_t>() <
        evaluate["original"]["bytes"].get<int64_t>());
  CHECK(evaluate["paired"]["latent_mse"].get<double>() > 0);
  CHECK(evaluate["paired"]["psnr_db"].is_number());
  CHECK(evaluate["paired"]["ssim"].get<double>() <= 1);
  CHECK(evaluate["paired"]["identical"] == false);

  const Json convert =
      RunWanliteJson({"convert", "--model", temp / "small", "--out", temp / "exported"});
  CHECK(convert["layout"] == "diffusers");
  const Json exported = RunWanliteJson({"inspect", "--model", temp / "exported"});
  CHECK(exported["layout"] == "diffusers");
  CHECK(exported["components"][0]["formats"].contains("dense"));
  CHECK_FALSE(exported["components"][0]["formats"].contains("int8"));
}

TEST_CASE("A model evaluated against itself is identical, at the capped PSNR") {
  const Json json = RunWanliteJson({"evaluate", "--original", TinyModel(), "--compressed",
                                    TinyModel(), "--seeds", "1", "--repeats", "1", "--no-memory"});
  CHECK(json["paired"]["identical"] == true);
  CHECK(json["paired"]["psnr_db"] == 100);
  CHECK(json["paired"]["latent_mse"] == 0);
  CHECK(json["original"]["peak_rss_bytes"].is_null());
}

TEST_CASE("generate runs from embeddings and latents without text encoder and VAE") {
  const TempFolder temp;
  testing::TinyWanOptions bare;
  bare.text_encoder = bare.vae = false;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "bare", bare));
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(11);
  REQUIRE_OK(WriteSafetensors(PosixEnv(), temp / "noise.safetensors",
                              {{"initial_latents", at::randn({1, 4, 2, 4, 4}, generator)}}));
  REQUIRE_OK(WriteSafetensors(PosixEnv(), temp / "text.safetensors",
                              {{"prompt_embeds", at::ones({1, 16, 16})},
                               {"negative_prompt_embeds", at::zeros({1, 16, 16})}}));
  const std::vector<std::string> common{
      "generate",  "--model", temp / "bare", "--prompt-embeds", temp / "text.safetensors",
      "--sampler", "euler"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    return more;
  };
  RunWanliteJson(with(
      {"--initial-latents", temp / "noise.safetensors", "--save-latents", temp / "a.safetensors"}));
  RunWanliteJson(with({"--seed", "11", "--save-latents", temp / "b.safetensors"}));
  RunWanliteJson(with({"--seed", "12", "--save-latents", temp / "c.safetensors"}));
  const at::Tensor a = ReadAll(temp / "a.safetensors").at("latents");
  CHECK(a.sizes() == at::IntArrayRef({1, 4, 2, 4, 4}));
  CHECK(a.scalar_type() == at::kFloat);
  // The noise of a seed is torch.randn's.
  CHECK(at::equal(a, ReadAll(temp / "b.safetensors").at("latents")));
  CHECK_FALSE(at::equal(a, ReadAll(temp / "c.safetensors").at("latents")));

  const Outcome text = RunWanlite({"generate", "--model", temp / "bare", "--prompt", "a",
                                   "--save-latents", temp / "d.safetensors"});
  CHECK(text.code == 4);
  const Outcome pixels = RunWanlite(with({"--out", temp / "a.png"}));
  CHECK(pixels.code == 4);
  CHECK(absl::StrContains(pixels.err, "vae"));
}

TEST_CASE("forward runs every component by its diffusers names") {
  const TempFolder temp;
  const auto forward = [&](const std::string& component, const std::vector<NamedTensor>& inputs) {
    REQUIRE_OK(WriteSafetensors(PosixEnv(), temp / "in.safetensors", inputs));
    const Json json =
        RunWanliteJson({"forward", "--model", TinyModel(), "--component", component, "--inputs",
                        temp / "in.safetensors", "--output", temp / "out.safetensors"});
    CHECK(json["output"] == temp / "out.safetensors");
    return ReadAll(temp / "out.safetensors");
  };
  const at::Tensor latents = at::ones({2, 4, 2, 4, 4}), text = at::ones({2, 16, 16});
  for (const at::Tensor& timestep :
       {at::full({2}, 500, at::kLong), at::full({1}, 500.0), at::scalar_tensor(500)}) {
    const auto out = forward(
        "transformer_2",
        {{"hidden_states", latents}, {"timestep", timestep}, {"encoder_hidden_states", text}});
    CHECK(out.at("sample").sizes() == latents.sizes());
  }
  const at::Tensor ids = at::arange(6, at::kLong).view({1, 6});
  CHECK(forward("text_encoder", {{"input_ids", ids}, {"attention_mask", at::ones_like(ids)}})
            .at("last_hidden_state")
            .sizes() == at::IntArrayRef({1, 6, 16}));
  CHECK(forward("vae.encode", {{"sample", at::zeros({1, 3, 5, 16, 24})}}).at("mean").sizes() ==
        at::IntArrayRef({1, 4, 2, 2, 3}));
  CHECK(forward("vae.decode", {{"latents", at::zeros({1, 4, 2, 2, 3})}}).at("sample").sizes() ==
        at::IntArrayRef({1, 3, 5, 16, 24}));

  const auto wrong = [&](const std::string& component, const std::vector<NamedTensor>& inputs) {
    REQUIRE_OK(WriteSafetensors(PosixEnv(), temp / "bad.safetensors", inputs));
    return RunWanlite({"forward", "--model", TinyModel(), "--component", component, "--inputs",
                       temp / "bad.safetensors", "--output", temp / "none.safetensors"});
  };
  const Outcome missing = wrong("vae.encode", {{"samples", at::zeros({1, 3, 5, 16, 24})}});
  CHECK(missing.code == 3);
  CHECK(absl::StrContains(missing.err, "'sample' is missing"));
  const Outcome shape = wrong("vae.decode", {{"latents", at::zeros({1, 5, 2, 2, 3})}});
  CHECK(shape.code == 3);
  const Outcome unknown = wrong("unet", {{"sample", at::zeros({1})}});
  CHECK(unknown.code != 0);
  CHECK_FALSE(PosixEnv().FileExists(temp / "none.safetensors"));
}

TEST_CASE("Ctrl-C ends a run cleanly with code 130") {
  const TempFolder temp;
  const pid_t child = StartWanlite({"generate", "--model", TinyModel(), "--prompt", "a", "--steps",
                                    "10000", "--out", temp / "clip.png"},
                                   temp / "out", temp / "err");
  // 20,000 forwards take far longer than it takes to see that they have begun.
  bool running = false;
  for (int i = 0; i < 600 && !running; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto err = PosixEnv().ReadFile(temp / "err");
    running = err.ok() && absl::StrContains(*err, "load transformer_2");
  }
  CHECK(running);
  REQUIRE(kill(child, SIGINT) == 0);
  const Outcome outcome = FinishWanlite(child, temp / "out", temp / "err");
  INFO(outcome.err);
  CHECK(outcome.code == 130);
  CHECK(absl::StrContains(outcome.err, "wanlite generate: interrupted"));
  CHECK_FALSE(PosixEnv().FileExists(temp / "clip.png"));
}

}  // namespace
}  // namespace wanlite
