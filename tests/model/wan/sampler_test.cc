// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/sampler.h"

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/dit_names.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {
namespace {

using testing::RelativeL2;
using testing::SeededParameter;
using testing::SeededUniform;

constexpr char kJson[] = "tests/golden/data/sampler.json";
constexpr char kTensors[] = "tests/golden/data/sampler.safetensors";

nlohmann::json ReadGolden() {
  std::ifstream file(kJson);
  return nlohmann::json::parse(file, nullptr, false);
}

std::map<std::string, FlowSchedulerConfig> ReadConfigs(const nlohmann::json& golden) {
  std::map<std::string, FlowSchedulerConfig> configs;
  for (const nlohmann::json& item : golden["schedulers"]) {
    ASSERT_OK_AND_ASSIGN(configs[item["name"]], ParseFlowSchedulerConfig(item["config"].dump()));
  }
  return configs;
}

std::shared_ptr<Dit> SeededExpert(const nlohmann::json& golden, const std::string& prefix) {
  auto config = ParseDitConfig(golden["model"].dump());
  REQUIRE_OK(config);
  auto dit = std::make_shared<Dit>(*config);
  const at::NoGradGuard no_grad;
  for (auto& item : dit->named_parameters()) {
    item.value().copy_(
        SeededParameter(prefix + DitDiffusersName(item.key()), item.value().sizes()));
  }
  return dit;
}

Denoiser DenoiserOf(std::shared_ptr<Dit> dit) {
  return [dit](const at::Tensor& latents, const at::Tensor& timestep,
               const at::Tensor& text) -> absl::StatusOr<at::Tensor> {
    return dit->forward(latents, timestep, text);
  };
}

// A denoiser whose velocity is the noise itself less a constant clip of `value`: the exact flow.
Denoiser ExactFlow(double value, const at::Tensor& noise) {
  return [=](const at::Tensor&, const at::Tensor&,
             const at::Tensor&) -> absl::StatusOr<at::Tensor> { return noise - value; };
}

FlowSchedulerConfig UniPc(double shift) {
  FlowSchedulerConfig config;
  config.shift = shift;
  return config;
}

TEST_CASE("schedules are those of diffusers, to the last bit", "[golden]") {
  const nlohmann::json golden = ReadGolden();
  REQUIRE(golden.is_object());
  ASSERT_OK_AND_ASSIGN(const auto tensors, OpenSafetensors(PosixEnv(), kTensors));
  int64_t compared = 0;
  double largest = 0;
  for (const auto& [name, config] : ReadConfigs(golden)) {
    for (const int64_t steps : golden["step_counts"].get<std::vector<int64_t>>()) {
      CAPTURE(name, steps);
      ASSERT_OK_AND_ASSIGN(const auto scheduler, MakeFlowScheduler(config, steps));
      ASSERT_OK_AND_ASSIGN(const at::Tensor timesteps,
                           tensors->Read(absl::StrCat(name, ".", steps, ".timesteps")));
      ASSERT_OK_AND_ASSIGN(const at::Tensor sigmas,
                           tensors->Read(absl::StrCat(name, ".", steps, ".sigmas")));
      CHECK(scheduler->timesteps().scalar_type() == timesteps.scalar_type());
      CHECK(at::equal(scheduler->timesteps(), timesteps));
      const at::Tensor ours = at::tensor(scheduler->sigmas(), at::kFloat);
      REQUIRE(ours.sizes() == sigmas.sizes());
      largest = std::max(largest, (ours - sigmas).abs().max().item<double>());
      ++compared;
    }
  }
  std::printf("schedules: %d compared, largest difference of a sigma %.1e\n",
              static_cast<int>(compared), largest);
  CHECK(largest == 0);
  CHECK(compared == 13 * 7);
}

TEST_CASE("whole latent loops agree with diffusers' pipeline", "[golden]") {
  const nlohmann::json golden = ReadGolden();
  ASSERT_OK_AND_ASSIGN(const auto tensors, OpenSafetensors(PosixEnv(), kTensors));
  const auto configs = ReadConfigs(golden);
  const Denoiser high = DenoiserOf(SeededExpert(golden, "high."));
  const Denoiser low = DenoiserOf(SeededExpert(golden, "low."));
  const std::vector<int64_t> shape = golden["latents"];
  const std::vector<int64_t> text_shape{shape[0], golden["text_tokens"],
                                        golden["model"]["text_dim"]};
  const at::Tensor latents = SeededUniform("initial_latents", shape) * 1.75;
  const at::Tensor text = SeededUniform("prompt_embeds", text_shape);
  const at::Tensor negative = SeededUniform("negative_prompt_embeds", text_shape);
  double largest = 0;
  for (const nlohmann::json& run : golden["runs"]) {
    SampleOptions options;
    options.scheduler = configs.at(run["scheduler"]);
    options.num_steps = run["steps"];
    options.guidance = run["guidance"];
    if (!run["guidance_2"].is_null()) options.guidance_low = run["guidance_2"].get<double>();
    if (!run["boundary_ratio"].is_null())
      options.boundary_ratio = run["boundary_ratio"].get<double>();
    ASSERT_OK_AND_ASSIGN(const at::Tensor want, tensors->Read(run["name"].get<std::string>()));
    auto got = Sample(options, high, options.boundary_ratio.has_value() ? low : Denoiser(), latents,
                      text, negative);
    REQUIRE_OK(got);
    const double error = RelativeL2(*got, want);
    largest = std::max(largest, error);
    std::printf("loop %-6s %-18s %2d steps: relative L2 %.2e\n",
                run["name"].get<std::string>().c_str(), run["scheduler"].get<std::string>().c_str(),
                static_cast<int>(options.num_steps), error);
    CAPTURE(run.dump());
    CHECK(error <= 2e-6);
  }
}

TEST_CASE("the experts share the steps as the official schedule says") {
  struct Expected {
    int64_t steps;
    double shift, boundary;
    int64_t high;
  };
  for (const Expected& e : {Expected{40, 12, 0.875, 26}, Expected{40, 5, 0.875, 17},
                            Expected{40, 3, 0.875, 12}, Expected{50, 12, 0.875, 32}}) {
    SampleOptions options;
    options.scheduler = UniPc(e.shift);
    options.scheduler.grid = SigmaGrid::kOfficial;
    options.num_steps = e.steps;
    options.guidance = 4;
    options.guidance_low = 3;
    options.boundary_ratio = e.boundary;
    ASSERT_OK_AND_ASSIGN(const auto steps, PlanSampling(options));
    int64_t high = 0;
    for (const SampleStep& step : steps) {
      high += step.expert == Expert::kHighNoise;
      CHECK(step.guidance == (step.expert == Expert::kHighNoise ? 4 : 3));
    }
    CAPTURE(e.steps, e.shift);
    CHECK(high == e.high);
    if (e.shift == 12 && e.steps == 40) {
      CHECK(steps[0].timestep == 999);
      CHECK(steps[1].timestep == 997);
      CHECK(steps[2].timestep == 995);
      CHECK(steps[37].timestep == 492);
      CHECK(steps[38].timestep == 386);
      CHECK(steps[39].timestep == 235);
    }
  }
}

TEST_CASE("a boundary step switches the experts by index") {
  SampleOptions options;
  options.scheduler = UniPc(5);
  options.num_steps = 4;
  options.boundary_step = 2;
  ASSERT_OK_AND_ASSIGN(const auto steps, PlanSampling(options));
  CHECK(steps[1].expert == Expert::kHighNoise);
  CHECK(steps[2].expert == Expert::kLowNoise);
  options.boundary_ratio = 0.875;
  CHECK(PlanSampling(options).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("few steps lie where their timesteps say") {
  FlowSchedulerConfig config;
  config.solver = SolverKind::kEuler;
  config.shift = 5;
  config.grid = SigmaGrid::kEven;
  // 1000, 750, 500, 250 under a shift of 5, as LightX2V's 4-step models run.
  const std::vector<double> wanted{1, 5 * 0.75 / 4, 5 * 0.5 / 3, 5 * 0.25 / 2, 0};
  ASSERT_OK_AND_ASSIGN(const auto even, MakeFlowScheduler(config, 4));
  config.grid = SigmaGrid::kDiffusers;
  config.timesteps = {1000, 750, 500, 250};
  ASSERT_OK_AND_ASSIGN(const auto given, MakeFlowScheduler(config, 4));
  for (size_t i = 0; i < wanted.size(); ++i) {
    CHECK(even->sigmas()[i] == static_cast<float>(wanted[i]));
    CHECK(given->sigmas()[i] == static_cast<float>(wanted[i]));
    if (i < 4) {
      CHECK(given->timesteps()[static_cast<int64_t>(i)].item<float>() ==
            Approx(1000 * wanted[i]).epsilon(1e-6));
    }
  }
  CHECK(absl::StrContains(MakeFlowScheduler(config, 3).status().message(), "4 timesteps"));
  // As diffusers 0.35's FlowMatchEulerDiscreteScheduler(shift=…).set_timesteps(sigmas=timesteps /
  // 1000) has them, which computes in fp32.
  struct Golden {
    double shift;
    std::vector<double> timesteps, sigmas;
  };
  for (const Golden& golden :
       {Golden{5, {1000, 750, 500, 250}, {1.0, 0.9375, 0.8333333134651184, 0.625}},
        Golden{7, {1000, 757, 522}, {1.0, 0.9561530351638794, 0.8843175172805786}},
        Golden{12, {1000, 500}, {1.0, 0.9230769276618958}},
        Golden{3, {1000, 900, 300}, {1.0, 0.964285671710968, 0.5625}}}) {
    config.shift = golden.shift;
    config.timesteps = golden.timesteps;
    const auto steps = static_cast<int64_t>(golden.timesteps.size());
    ASSERT_OK_AND_ASSIGN(const auto scheduler, MakeFlowScheduler(config, steps));
    for (size_t i = 0; i < golden.sigmas.size(); ++i) {
      CHECK(std::abs(scheduler->sigmas()[i] - golden.sigmas[i]) <= 6e-8);
    }
  }
  for (const std::vector<double>& wrong :
       {std::vector<double>{500, 750}, {1001.0, 500}, {500, 0}, {500, 500}}) {
    config.timesteps = wrong;
    CHECK(absl::IsInvalidArgument(MakeFlowScheduler(config, 2).status()));
  }
}

TEST_CASE("configs of few steps come back as they were written") {
  FlowSchedulerConfig config;
  config.solver = SolverKind::kLcm;
  config.shift = 7;
  config.grid = SigmaGrid::kEven;
  config.timesteps = {1000, 757, 522};
  const std::string json = FlowSchedulerConfigJson(config);
  // What diffusers reads of it.
  CHECK(absl::StrContains(json, "FlowMatchEulerDiscreteScheduler"));
  CHECK(absl::StrContains(json, "\"stochastic_sampling\": true"));
  ASSERT_OK_AND_ASSIGN(const FlowSchedulerConfig back, ParseFlowSchedulerConfig(json));
  CHECK(back.solver == SolverKind::kLcm);
  CHECK(back.shift == 7);
  CHECK(back.grid == SigmaGrid::kEven);
  CHECK(back.timesteps == config.timesteps);
}

TEST_CASE("the few-step sampler puts each predicted clip under new noise of the seed") {
  const at::Tensor noise = InitialLatents({1, 2, 1, 4, 4}, 5);
  SampleOptions options;
  options.scheduler.solver = SolverKind::kLcm;
  options.scheduler.grid = SigmaGrid::kEven;
  options.scheduler.shift = 5;
  options.num_steps = 4;
  options.guidance = 1;
  options.seed = 3;
  // A network that knows its clip, 0.25, whatever it sees: v = (x - clip) / sigma.
  std::vector<at::Tensor> seen;
  const Denoiser knows = [&](const at::Tensor& x, const at::Tensor& t,
                             const at::Tensor&) -> absl::StatusOr<at::Tensor> {
    seen.push_back(x.clone());
    return (x - 0.25) / (t.reshape({-1, 1, 1, 1, 1}) / 1000);
  };
  const at::Tensor text = at::zeros({1, 2, 3});
  ASSERT_OK_AND_ASSIGN(const at::Tensor clip,
                       Sample(options, knows, {}, noise, text, std::nullopt));
  CHECK((clip - 0.25).abs().max().item<double>() < 1e-5);
  REQUIRE(seen.size() == 4);
  // x = (1 - sigma) clip + sigma noise, with another noise each time.
  const double sigma = 0.9375;
  const at::Tensor second = (seen[1] - (1 - sigma) * 0.25) / sigma;
  CHECK(std::abs(second.mean().item<double>()) < 0.6);
  CHECK(second.std().item<double>() == Approx(1).margin(0.4));
  CHECK((second - noise).abs().max().item<double>() > 0.5);
  const std::vector<at::Tensor> first = seen;
  seen.clear();
  REQUIRE_OK(Sample(options, knows, {}, noise, text, std::nullopt));
  CHECK(at::equal(seen[2], first[2]));
  seen.clear();
  options.seed = 4;
  REQUIRE_OK(Sample(options, knows, {}, noise, text, std::nullopt));
  CHECK_FALSE(at::equal(seen[2], first[2]));
}

TEST_CASE("a straight flow is solved exactly by every solver and step count") {
  const at::Tensor noise = InitialLatents({1, 2, 1, 4, 4}, 5);
  const at::Tensor text = at::zeros({1, 2, 3});
  for (const SolverKind solver : {SolverKind::kUniPc, SolverKind::kEuler}) {
    for (const int64_t steps : {1, 2, 3, 8, 25}) {
      for (const int64_t order : {1, 2, 3}) {
        SampleOptions options;
        options.scheduler = UniPc(5);
        options.scheduler.solver = solver;
        options.scheduler.solver_order = order;
        options.num_steps = steps;
        options.guidance = 1;
        auto got = Sample(options, ExactFlow(0.25, noise), {}, noise, text, std::nullopt);
        REQUIRE_OK(got);
        CAPTURE(steps, order);
        // UniPC's first sigma is 1e-6 short of 1.
        CHECK((*got - 0.25).abs().max().item<double>() < 1e-5);
      }
    }
  }
}

TEST_CASE("higher orders solve a curved flow better") {
  // v = x has the solution x(0) = x(1) / e.
  const Denoiser curved = [](const at::Tensor& x, const at::Tensor&,
                             const at::Tensor&) -> absl::StatusOr<at::Tensor> { return x; };
  const at::Tensor noise = InitialLatents({1, 1, 1, 4, 4}, 6);
  const auto error = [&](SolverKind solver, int64_t order) {
    SampleOptions options;
    options.scheduler = UniPc(1);
    options.scheduler.solver = solver;
    options.scheduler.solver_order = order;
    options.num_steps = 20;
    options.guidance = 1;
    auto got = Sample(options, curved, {}, noise, at::zeros({1, 1, 1}), std::nullopt);
    REQUIRE_OK(got);
    return RelativeL2(*got, noise * std::exp(-1.0));
  };
  const double euler = error(SolverKind::kEuler, 1), one = error(SolverKind::kUniPc, 1),
               two = error(SolverKind::kUniPc, 2);
  std::printf("v = x in 20 steps: euler %.2e, unipc order 1 %.2e, order 2 %.2e\n", euler, one, two);
  CHECK(one < 0.5 * euler);
  CHECK(two < 0.5 * euler);
}

TEST_CASE("guidance of 1 or less asks for no negative prompt, more does") {
  const at::Tensor noise = InitialLatents({1, 1, 1, 2, 2}, 1);
  const at::Tensor text = at::ones({1, 2, 3});
  int64_t calls = 0;
  const Denoiser counting = [&](const at::Tensor& x, const at::Tensor&,
                                const at::Tensor& t) -> absl::StatusOr<at::Tensor> {
    ++calls;
    return x * t.mean();
  };
  SampleOptions options;
  options.scheduler = UniPc(3);
  options.num_steps = 4;
  options.guidance = 1;
  options.guidance_low = 6;  // not looked at: the first decides
  REQUIRE_OK(Sample(options, counting, {}, noise, text, std::nullopt));
  CHECK(calls == 4);
  options.guidance = 2;
  const auto missing = Sample(options, counting, {}, noise, text, std::nullopt);
  CHECK(missing.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(absl::StrContains(missing.status().message(), "negative prompt"));
  calls = 0;
  REQUIRE_OK(Sample(options, counting, {}, noise, text, at::zeros_like(text)));
  CHECK(calls == 8);
}

TEST_CASE("a missing expert is named before the first step is run") {
  const at::Tensor noise = InitialLatents({1, 1, 1, 2, 2}, 1);
  int64_t calls = 0;
  const Denoiser counting = [&](const at::Tensor& x, const at::Tensor&,
                                const at::Tensor&) -> absl::StatusOr<at::Tensor> {
    ++calls;
    return x;
  };
  SampleOptions options;
  options.scheduler = UniPc(3);
  options.num_steps = 4;
  options.guidance = 1;
  options.boundary_ratio = 0.6;
  const auto got = Sample(options, counting, {}, noise, at::ones({1, 1, 1}), std::nullopt);
  CHECK(absl::StrContains(got.status().message(), "transformer_2"));
  CHECK(calls == 0);
  // With the boundary at 0 the low-noise expert never runs.
  options.boundary_ratio = 0;
  REQUIRE_OK(Sample(options, counting, {}, noise, at::ones({1, 1, 1}), std::nullopt));
}

TEST_CASE("a run can be cancelled after a step, and errors name theirs") {
  const at::Tensor noise = InitialLatents({1, 1, 1, 2, 2}, 1);
  SampleOptions options;
  options.scheduler = UniPc(3);
  options.num_steps = 4;
  options.guidance = 1;
  std::vector<int64_t> seen;
  const auto cancelled =
      Sample(options, ExactFlow(0, noise), {}, noise, at::ones({1, 1, 1}), std::nullopt,
             [&](const SampleStep& step, const at::Tensor& latents) {
               CHECK(latents.sizes() == noise.sizes());
               seen.push_back(step.index);
               return step.index < 1;
             });
  CHECK(cancelled.status().code() == absl::StatusCode::kCancelled);
  CHECK(seen == std::vector<int64_t>{0, 1});

  const Denoiser throws = [](const at::Tensor& x, const at::Tensor&,
                             const at::Tensor&) -> absl::StatusOr<at::Tensor> {
    TORCH_CHECK_VALUE(false, "no such shape");
    return x;
  };
  const auto failed = Sample(options, throws, {}, noise, at::ones({1, 1, 1}), std::nullopt);
  CHECK(failed.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(absl::StrContains(failed.status().message(), "sampler step 1 of 4: no such shape"));
}

TEST_CASE("scheduler configs: what is not built is said, what is wrong is named") {
  const auto status = [](const char* json) { return ParseFlowSchedulerConfig(json).status(); };
  const std::string unipc =
      R"({"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction",
                                "use_flow_sigmas": true)";
  CHECK(status(R"({"_class_name": "DDIMScheduler"})").code() == absl::StatusCode::kUnimplemented);
  CHECK(status("{}").code() == absl::StatusCode::kUnimplemented);
  CHECK(status(R"({"_class_name": "UniPCMultistepScheduler"})").code() ==
        absl::StatusCode::kUnimplemented);
  CHECK(status((unipc + R"(, "use_karras_sigmas": true})").c_str()).code() ==
        absl::StatusCode::kUnimplemented);
  CHECK(status((unipc + R"(, "solver_order": 4})").c_str()).code() ==
        absl::StatusCode::kUnimplemented);
  CHECK(status((unipc + R"(, "predict_x0": false})").c_str()).code() ==
        absl::StatusCode::kUnimplemented);
  CHECK(status((unipc + R"(, "solver_p": {}})").c_str()).code() ==
        absl::StatusCode::kUnimplemented);
  CHECK(absl::StrContains(status((unipc + R"(, "flow_shift": "3"})").c_str()).message(),
                          "flow_shift"));
  CHECK(status((unipc + R"(, "flow_shift": 0})").c_str()).code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(status((unipc + R"(, "lower_order_final": false})").c_str()).code() ==
        absl::StatusCode::kInvalidArgument);
  // New noise between steps.
  CHECK(status(R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "stochastic_sampling": true})")
            .ok());
  CHECK(MakeFlowScheduler(UniPc(3), 0).status().code() == absl::StatusCode::kInvalidArgument);

  FlowSchedulerConfig config = UniPc(7.5);
  config.solver_order = 3;
  config.bh2 = false;
  config.disable_corrector = {0, 2};
  config.grid = SigmaGrid::kOfficial;
  ASSERT_OK_AND_ASSIGN(const FlowSchedulerConfig again,
                       ParseFlowSchedulerConfig(FlowSchedulerConfigJson(config)));
  CHECK(FlowSchedulerConfigJson(again) == FlowSchedulerConfigJson(config));
  config.solver = SolverKind::kEuler;
  ASSERT_OK_AND_ASSIGN(const FlowSchedulerConfig euler,
                       ParseFlowSchedulerConfig(FlowSchedulerConfigJson(config)));
  CHECK(euler.shift == 7.5);
  CHECK(euler.solver == SolverKind::kEuler);
}

TEST_CASE("initial noise is torch.randn of the seed") {
  // torch.randn(4, generator=torch.Generator().manual_seed(42))
  const at::Tensor want = at::tensor(
      {0.33669036626815796, 0.12880940735340118, 0.23446236550807953, 0.23033303022384644},
      at::kFloat);
  CHECK(at::equal(InitialLatents({4}, 42), want));
}

}  // namespace
}  // namespace wanlite::wan
