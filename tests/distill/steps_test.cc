// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The passes distill-guidance and distill-steps, on denoisers whose paths are known.
#include "src/distill/steps.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/distill/register.h"
#include "src/proto/manifest.pb.h"
#include "src/pruning/register.h"
#include "tests/distill/flow_toy.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "wanlite/pipeline.h"
#include "wanlite/sampling.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::FilesOf;
using testing::FlowText;
using testing::FlowVelocity;
using testing::LoadFlow;
using testing::WriteFlow;
using testing::WriteFlowSamples;

// dx/dsigma = 1.2 (x - text): away from the clip as noise grows.
const std::vector<double> kPull{1.2}, kText{-1.2};
constexpr char kStepsLoop[] =
    "loop { steps: 400 batch: 16 learning_rate: 0.05 beta2: 0.95 max_gradient_norm: 10 } "
    "keep_zeros: false";  // the toy begins with zeros that are to be learnt

absl::StatusOr<ParsedRecipe> ParseSteps(const std::string& pass) {
  PassRegistry passes;
  REQUIRE_OK(RegisterDistillPasses(passes));
  return ParsedRecipe::Parse(absl::StrCat("name: \"few\" seed: 7 passes { ", pass, " }"), "recipe",
                             passes);
}

absl::StatusOr<RunReport> RunSteps(Env& env, const std::string& pass, const SampleSet& samples,
                                   const std::string& in = "/in", const std::string& out = "/out",
                                   const CancellationToken* cancel = nullptr) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe, ParseSteps(pass));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(env, in, {}, testing::FlowToys()));
  CompressOptions options;
  options.out_dir = out;
  options.samples = &samples;
  options.cancel = cancel;
  return CompressFolder(env, recipe, folder, testing::FlowToys(), options);
}

absl::Status RefusedSteps(const std::string& pass) { return ParseSteps(pass).status(); }

nlohmann::json JsonOf(Env& env, const std::string& path) {
  ASSERT_OK_AND_ASSIGN(const std::string text, env.ReadFile(path));
  return nlohmann::json::parse(text);
}

// Where the guided teacher's flow leads from `from` to `to`: x - g text relaxes as exp.
at::Tensor ExactFlow(const at::Tensor& x, const at::Tensor& text, double guidance, double from,
                     double to) {
  const at::Tensor centre = guidance * text.mean(1).reshape({-1, 2, 1, 1, 1});
  return centre + (x - centre) * std::exp(1.2 * (to - from));
}

double RelativeDistance(const at::Tensor& found, const at::Tensor& wanted) {
  return ((found - wanted).norm() / wanted.norm()).item<double>();
}

// Largest relative distance from the exact flow over the steps of a folder with few steps.
double StepError(Env& env, const std::string& dir, const std::vector<double>& sigmas,
                 int64_t boundary, bool to_the_end = false) {
  const ModelView view = LoadFlow(env, dir);
  double worst = 0;
  for (int64_t k = 0; k + 1 < static_cast<int64_t>(sigmas.size()); ++k) {
    const bool low = k >= boundary;
    const double from = sigmas[k], to = to_the_end ? 0 : sigmas[k + 1];
    const at::Tensor x = at::randn({4, 2, 1, 2, 2}, at::detail::createCPUGenerator(k + 1));
    const at::Tensor text = at::cat({FlowText(0), FlowText(3), FlowText(9), FlowText(5)});
    const at::Tensor v = FlowVelocity(view, low ? "transformer_2" : "transformer", x, from, text);
    worst = std::max(
        worst, RelativeDistance(x + (to - from) * v, ExactFlow(x, text, low ? 2 : 3, from, to)));
  }
  return worst;
}

TEST_CASE("distill-guidance gives in one evaluation what its teacher gives in two") {
  const auto env = NewMemEnv();
  WriteFlow(*env, "/in", 2, kPull, kText);
  const SampleSet samples = WriteFlowSamples(*env, "/samples", 2, false);
  const std::string pass = absl::StrCat("distill_guidance { ", kStepsLoop, " }");
  ASSERT_OK_AND_ASSIGN(const RunReport report, RunSteps(*env, pass, samples));
  const auto& metrics = report.passes[0].metrics;
  for (const char* name : {"transformer", "transformer_2"}) {
    CHECK(metrics.at(absl::StrCat(name, ".error_before")) > 0.3);
    CHECK(metrics.at(absl::StrCat(name, ".error_after")) <
          0.05 * metrics.at(absl::StrCat(name, ".error_before")));
  }
  const ModelView student = LoadFlow(*env, "/out");
  const at::Tensor x = at::randn({1, 2, 1, 2, 2}, at::detail::createCPUGenerator(3));
  const at::Tensor text = FlowText(4), centre = text.reshape({1, 2, 1, 1, 1});
  CHECK(RelativeDistance(FlowVelocity(student, "transformer", x, 0.95, text),
                         1.2 * (x - 3 * centre)) < 0.05);
  CHECK(RelativeDistance(FlowVelocity(student, "transformer_2", x, 0.4, text),
                         1.2 * (x - 2 * centre)) < 0.05);
  const nlohmann::json index = JsonOf(*env, "/out/model_index.json");
  CHECK(index["wanlite_defaults"]["guidance_scale"] == 1.0);
  CHECK(index["wanlite_defaults"]["guidance_scale_2"] == 1.0);
  CHECK(index["wanlite_defaults"]["num_inference_steps"] == 20);
  CHECK(index["boundary_ratio"] == 0.875);
}

TEST_CASE("The trajectory of a known flow is learnt step by step, and the folder samples so") {
  const auto env = NewMemEnv();
  WriteFlow(*env, "/in", 2, kPull, kText);
  const SampleSet samples = WriteFlowSamples(*env, "/samples", 2, false);
  ASSERT_OK_AND_ASSIGN(
      const RunReport report,
      RunSteps(
          *env,
          absl::StrCat("distill_steps { steps: 4 teacher_steps: 200 paths: 40 ", kStepsLoop, " }"),
          samples));
  for (const char* name : {"transformer", "transformer_2"}) {
    CHECK(report.passes[0].metrics.at(absl::StrCat(name, ".error_after")) < 0.03);
  }
  const std::vector<double> sigmas = SigmasOf({4, false, 5, {}, 2});
  CHECK(sigmas[1] == Approx(0.9375));
  // The third step is the first of the second expert, whose guidance is another: its teacher takes
  // over at 875, inside the step before, so that step alone is a mixture of both.
  const nlohmann::json index = JsonOf(*env, "/out/model_index.json");
  CHECK(index["wanlite_defaults"]["num_inference_steps"] == 4);
  CHECK(index["wanlite_defaults"]["guidance_scale"] == 1.0);
  CHECK(index["wanlite_defaults"]["boundary_step"] == 2);
  CHECK(index["wanlite_defaults"]["fps"] == 12);
  CHECK(index["scheduler"][1] == "FlowMatchEulerDiscreteScheduler");
  const double boundary = index["boundary_ratio"].get<double>();
  CHECK((boundary < sigmas[1] && boundary > sigmas[2]));
  const nlohmann::json scheduler = JsonOf(*env, "/out/scheduler/scheduler_config.json");
  CHECK(scheduler["shift"] == 5.0);
  CHECK(scheduler["wanlite_sigma_grid"] == "even");
  CHECK_FALSE(scheduler.contains("stochastic_sampling"));

  // Of one expert the exact flow is known.
  WriteFlow(*env, "/one", 1, kPull, kText);
  const SampleSet one = WriteFlowSamples(*env, "/one-samples", 1, false);
  for (const char* sampler : {"EULER", "LCM"}) {
    const std::string out = absl::StrCat("/one-", sampler);
    REQUIRE_OK(RunSteps(*env,
                        absl::StrCat("distill_steps { steps: 2 sampler: ", sampler,
                                     " teacher_steps: 400 paths: 40 ", kStepsLoop, " }"),
                        one, "/one", out));
    const double error =
        StepError(*env, out, SigmasOf({2, false, 5, {}, {}}), 2, std::string(sampler) == "LCM");
    CAPTURE(sampler, error);
    CHECK(error < 0.02);
  }
}

TEST_CASE("Halving reaches the map that its teacher's many steps make") {
  const auto env = NewMemEnv();
  WriteFlow(*env, "/in", 1, kPull, kText);
  const SampleSet samples = WriteFlowSamples(*env, "/samples", 1, true, 0.5);
  const std::vector<double> two = SigmasOf({2, false, 5, {}, {}});
  const double before = StepError(*env, "/in", two, 2);
  ASSERT_OK_AND_ASSIGN(const RunReport report,
                       RunSteps(*env,
                                absl::StrCat("distill_steps { method: PROGRESSIVE steps: 2 "
                                             "teacher_steps: 30 ",
                                             kStepsLoop, " }"),
                                samples));
  // 32 to 16, 8, 4 and 2.
  CHECK(report.passes[0].metrics.at("transformer.steps") == 4 * 400);
  // Of 16 Euler steps an interval, whose own error is some percent.
  const double after = StepError(*env, "/out", two, 2);
  CAPTURE(before, after);
  CHECK(after < 0.06);
  CHECK(after < 0.2 * before);
}

TEST_CASE("A consistency student arrives where the path arrives") {
  const auto env = NewMemEnv();
  WriteFlow(*env, "/in", 2, kPull, kText, 2, 2);
  const SampleSet samples = WriteFlowSamples(*env, "/samples", 2, true, 0.5);
  ASSERT_OK_AND_ASSIGN(
      const RunReport report,
      RunSteps(*env,
               "distill_steps { method: CONSISTENCY steps: 4 teacher_steps: 64 target_decay: 0.9 "
               "loop { steps: 1500 batch: 16 learning_rate: 0.02 beta2: 0.95 } }",
               samples));
  const ModelView before = LoadFlow(*env, "/in"), after = LoadFlow(*env, "/out");
  const std::vector<double> sigmas = SigmasOf({4, false, 5, {}, 2});
  for (int64_t k = 0; k < 4; ++k) {
    const char* component = k < 2 ? "transformer" : "transformer_2";
    const at::Tensor x = at::randn({1, 2, 1, 2, 2}, at::detail::createCPUGenerator(k + 1));
    const at::Tensor text = FlowText(9);
    const auto error = [&](const ModelView& view) {
      const double length = sigmas[k + 1] - sigmas[k];
      return RelativeDistance(x + length * FlowVelocity(view, component, x, sigmas[k], text),
                              ExactFlow(x, text, 2, sigmas[k], sigmas[k + 1]));
    };
    CAPTURE(k, error(before), error(after));
    CHECK(error(after) < 0.35 * error(before) + 0.01);
  }
}

// Coefficients of the flow of a normal distribution around the text, by least squares: the mean
// velocity noise - clip at x is f x + g text with f = (s - (1 - s) r^2) / (s^2 + (1 - s)^2 r^2) and
// g = -1 - (1 - s) f.
std::vector<std::vector<double>> NormalFlow(double r) {
  const int64_t n = 400;
  const at::Tensor s = at::linspace(0.005, 1, n, at::kDouble);
  const at::Tensor f = (s - (1 - s) * r * r) / (s.square() + (1 - s).square() * r * r);
  const at::Tensor g = -1 - (1 - s) * f;
  std::vector<at::Tensor> powers;
  for (int64_t i = 0; i < testing::kFlowPowers; ++i) powers.push_back(s.pow(i));
  const at::Tensor matrix = at::stack(powers, 1), wanted = at::stack({f, g}, 1);
  const at::Tensor fit = at::linalg_solve(matrix.t().matmul(matrix), matrix.t().matmul(wanted));
  std::vector<std::vector<double>> coefficients(2);
  for (int64_t i = 0; i < testing::kFlowPowers; ++i) {
    coefficients[0].push_back(fit[i][0].item<double>());
    coefficients[1].push_back(fit[i][1].item<double>());
  }
  return coefficients;
}

TEST_CASE("Distribution matching spreads clips as the teacher's are spread") {
  const auto env = NewMemEnv();
  const double spread = 0.7;
  const auto flow = NormalFlow(spread);
  WriteFlow(*env, "/in", 1, flow[0], flow[1], 1, 1);
  const SampleSet samples = WriteFlowSamples(*env, "/samples", 1, false);
  const auto spread_of = [&](const std::string& dir) {
    const ModelView view = LoadFlow(*env, dir);
    const at::Tensor x = at::randn({256, 2, 1, 2, 2}, at::detail::createCPUGenerator(1));
    const at::Tensor text = FlowText(2).expand({256, 1, 2});
    const at::Tensor clip = x - FlowVelocity(view, "transformer", x, 1, text);
    const at::Tensor off = clip - FlowText(2).reshape({1, 2, 1, 1, 1});
    return std::pair(off.std().item<double>(), off.mean().item<double>());
  };
  const auto before = spread_of("/in");
  REQUIRE_OK(RunSteps(*env,
                      "distill_steps { method: DMD2 steps: 1 shift: 1 fake_updates: 5 "
                      "fake_learning_rate: 0.02 loop { steps: 3000 batch: 32 learning_rate: 0.02 "
                      "beta1: 0.01 beta2: 0.95 } }",
                      samples));
  const auto after = spread_of("/out");
  CAPTURE(before, after);
  CHECK(before.first < 0.3);  // one step of the teacher gives the mean
  CHECK(std::abs(after.first - spread) < 0.2);
  CHECK(std::abs(after.second) < 0.2);
  const nlohmann::json scheduler = JsonOf(*env, "/out/scheduler/scheduler_config.json");
  CHECK(scheduler["stochastic_sampling"] == true);
}

TEST_CASE("Killed and run again every method gives the same bytes") {
  struct Kind {
    const char* pass;
    bool clips;
  };
  for (const Kind& kind :
       {Kind{"distill_guidance { loop { steps: 6 batch: 4 learning_rate: 0.01 state_every: 2 } }",
             false},
        Kind{"distill_steps { steps: 2 paths: 6 loop { steps: 6 batch: 4 learning_rate: 0.01 "
             "state_every: 2 } }",
             false},
        Kind{"distill_steps { method: PROGRESSIVE steps: 2 teacher_steps: 8 loop { steps: 6 batch: "
             "4 learning_rate: 0.01 state_every: 2 } }",
             true},
        Kind{"distill_steps { method: CONSISTENCY steps: 2 teacher_steps: 8 loop { steps: 6 batch: "
             "4 learning_rate: 0.01 ema_decay: 0.9 state_every: 2 } }",
             true},
        Kind{"distill_steps { method: DMD2 steps: 4 fake_updates: 2 loop { steps: 9 batch: 4 "
             "learning_rate: 0.01 ema_decay: 0.9 state_every: 2 } }",
             false}}) {
    CAPTURE(kind.pass);
    const auto env = NewMemEnv();
    WriteFlow(*env, "/in", 2, kPull, kText);
    const SampleSet samples = WriteFlowSamples(*env, "/samples", 2, kind.clips);
    REQUIRE_OK(RunSteps(*env, kind.pass, samples, "/in", "/whole"));
    const auto whole = FilesOf(*env, "/whole");
    int kills = 0;
    for (int64_t write = 3; write < 200; write += 7, ++kills) {
      const std::string out = absl::StrCat("/killed-", write);
      const auto faulty = NewFaultEnv(*env, write);
      const absl::Status killed = RunSteps(*faulty, kind.pass, samples, "/in", out).status();
      if (killed.ok()) break;
      REQUIRE_OK(RunSteps(*env, kind.pass, samples, "/in", out));
      CHECK(FilesOf(*env, out) == whole);
    }
    CHECK(kills > 2);
  }
}

TEST_CASE("Options that cannot be meant name their field") {
  const auto refused = [](const std::string& pass, const std::string& text) {
    const absl::Status status = RefusedSteps(pass);
    CAPTURE(pass, status.message());
    CHECK(absl::IsInvalidArgument(status));
    CHECK(absl::StrContains(status.message(), text));
  };
  const std::string loop = "loop { steps: 2 batch: 1 learning_rate: 0.1 }";
  refused("distill_steps { " + loop + " }", "steps");
  refused("distill_steps { steps: 4 }", "loop");
  refused("distill_steps { steps: 2 timesteps: 1000 " + loop + " }", "timesteps");
  refused("distill_steps { steps: 2 timesteps: 1000 timesteps: 1000 " + loop + " }",
          "timesteps[1]");
  refused("distill_steps { steps: 1 timesteps: 900 " + loop + " }", "timesteps[0]");
  refused("distill_steps { steps: 4 boundary_step: 5 " + loop + " }", "boundary_step");
  refused("distill_steps { steps: 4 boundary_step: 0 " + loop + " }", "boundary_step");
  refused("distill_steps { steps: 4 teacher_steps: 3 " + loop + " }", "teacher_steps");
  refused("distill_steps { steps: 4 fake_updates: 5 " + loop + " }", "DMD2");
  refused("distill_steps { method: DMD2 steps: 4 sampler: EULER " + loop + " }", "LCM");
  refused("distill_steps { method: PROGRESSIVE steps: 4 sampler: LCM " + loop + " }", "EULER");
  refused("distill_steps { method: DMD2 steps: 4 paths: 8 " + loop + " }", "TRAJECTORY");
  refused("distill_guidance { guidance: 0.5 " + loop + " }", "guidance");
  refused("distill_guidance { guidance_2: 3 " + loop + " }", "guidance_2");
  refused("distill_guidance { teacher: BEFORE teacher_path: \"x\" " + loop + " }", "teacher_path");
}

TEST_CASE("What the model or the samples do not have is refused before anything is trained") {
  const auto env = NewMemEnv();
  WriteFlow(*env, "/one", 1, kPull, kText);
  WriteFlow(*env, "/plain", 1, kPull, kText, 1, 1);
  const SampleSet samples = WriteFlowSamples(*env, "/samples", 1, false);
  const std::string loop = "loop { steps: 2 batch: 1 learning_rate: 0.1 }";
  const auto refused = [&](const std::string& pass, const std::string& in,
                           const std::string& text) {
    const absl::Status status = RunSteps(*env, pass, samples, in).status();
    CAPTURE(pass, status.message());
    CHECK_FALSE(status.ok());
    CHECK(absl::StrContains(status.message(), text));
    REQUIRE_OK(env->RemoveAll("/out.run"));
  };
  refused("distill_steps { steps: 4 boundary_step: 2 " + loop + " }", "/one", "one expert");
  refused("distill_steps { method: PROGRESSIVE steps: 4 " + loop + " }", "/one", "--clips");
  refused("distill_guidance { " + loop + " }", "/plain", "without guidance");
  refused("distill_guidance { train: \"*.nothing\" " + loop + " }", "/one", "train[0]");
}

TEST_CASE("Plans tell the steps, and warn of pruning without recovery") {
  const auto env = NewMemEnv();
  WriteFlow(*env, "/in", 2, kPull, kText);
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/in", {}, testing::FlowToys()));
  ASSERT_OK_AND_ASSIGN(
      const ParsedRecipe recipe,
      ParseSteps("distill_steps { steps: 4 loop { steps: 2 batch: 1 learning_rate: 0.1 } }"));
  ASSERT_OK_AND_ASSIGN(const auto plans, PlanRecipe(recipe, folder));
  std::string all;
  for (const PlannedChange& change : plans[0].changes) {
    absl::StrAppend(&all, change.path, ": ", change.description, "\n");
  }
  CHECK_THAT(all, Contains("steps 20 -> 4, guidance 3 and 2 -> 1"));
  CHECK_THAT(all, Contains("timesteps 1000, 937.5, 833.3, 625"));

  const std::string steps =
      "passes { distill_steps { steps: 4 loop { steps: 2 batch: 1 learning_rate: 0.1 } } }";
  const std::string recover =
      "passes { recover { method: MODEL loop { steps: 2 batch: 1 learning_rate: 0.1 } } }";
  for (const bool recovered : {false, true}) {
    PassRegistry passes;
    REQUIRE_OK(RegisterDistillPasses(passes));
    REQUIRE_OK(RegisterPruningPasses(passes));
    ASSERT_OK_AND_ASSIGN(
        const ParsedRecipe pruned,
        ParsedRecipe::Parse(absl::StrCat("name: \"few\" passes { prune_magnitude { amount: 0.5 } }",
                                         recovered ? recover : "", steps),
                            "recipe", passes));
    ASSERT_OK_AND_ASSIGN(const auto planned, PlanRecipe(pruned, folder));
    CHECK(planned.back().warnings.empty() == recovered);
  }
}

}  // namespace
}  // namespace wanlite
