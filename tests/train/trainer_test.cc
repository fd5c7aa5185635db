// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>

#include <functional>
#include <limits>
#include <new>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite::train {
namespace {

LoopOptions Options(int64_t steps) {
  LoopOptions options;
  options.set_steps(steps);
  options.set_batch(4);
  options.set_learning_rate(0.05);
  options.set_warmup_steps(3);
  options.set_final_rate_ratio(0.1);
  options.set_weight_decay(0.01);
  options.set_max_gradient_norm(1.0);
  options.set_ema_decay(0.9);
  options.set_state_every(5);
  return options;
}

// Fits y = x W* + b* from batches that depend on the step.
class Regression : public Objective {
 public:
  Regression() : weight(at::zeros({2, 3})), bias(at::zeros({2})) {}
  std::vector<NamedTensor> Parameters() override { return {{"weight", weight}, {"bias", bias}}; }
  at::Tensor Loss(int64_t step, int part, int parts) override {
    if (step == poisoned_step) return (weight.sum() * std::numeric_limits<double>::quiet_NaN());
    if (cancel_at >= 0 && step == cancel_at) cancel->Cancel();
    // Every part sees the entries part, part + parts, ... of one batch.
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(100 + step);
    const at::Tensor x = at::randn({4, 3}, generator).slice(0, part, 4, parts);
    const at::Tensor target = at::tensor({1.0f, -2.0f, 0.5f, 3.0f, 0.0f, -1.0f}).reshape({2, 3});
    return at::mse_loss(at::linear(x, weight, bias),
                        at::linear(x, target, at::tensor({0.5f, -0.5f})));
  }
  at::Tensor weight, bias;
  int64_t poisoned_step = -1;
  int64_t cancel_at = -1;
  CancellationToken* cancel = nullptr;
};

TrainRun Run(Env& env) {
  TrainRun run;
  run.env = &env;
  run.what = "regression";
  run.state_path = "state.safetensors";
  return run;
}

TEST_CASE("Training brings the loss down to almost nothing on a problem with an exact answer") {
  const auto env = NewMemEnv();
  Regression objective;
  const double before = objective.Loss(0, 0, 1).item<double>();
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(Options(400), objective, Run(*env)));
  REQUIRE(report.steps == 400);
  REQUIRE(before > 1);
  REQUIRE(objective.Loss(1, 0, 1).item<double>() < 0.01 * before);
}

TEST_CASE("A run that was cancelled and continued ends with the bits of an unbroken one") {
  const auto env = NewMemEnv(), broken_env = NewMemEnv();
  Regression whole;
  REQUIRE_OK(Train(Options(40), whole, Run(*env)));

  CancellationToken cancel;
  Regression first;
  first.cancel_at = 17;  // no multiple of state_every: cancelling writes a state of its own
  first.cancel = &cancel;
  TrainRun run = Run(*broken_env);
  run.cancel = &cancel;
  REQUIRE(Train(Options(40), first, run).status().code() == absl::StatusCode::kCancelled);
  Regression second;
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(Options(40), second, Run(*broken_env)));
  REQUIRE(report.first_step == 18);
  REQUIRE(at::equal(second.weight, whole.weight));
  REQUIRE(at::equal(second.bias, whole.bias));
  ASSERT_OK_AND_ASSIGN(const std::string a, env->ReadFile("state.safetensors"));
  ASSERT_OK_AND_ASSIGN(const std::string b, broken_env->ReadFile("state.safetensors"));
  REQUIRE(a == b);
}

TEST_CASE("A run killed at any write continues to the bits of an unbroken one") {
  const auto env = NewMemEnv();
  Regression whole;
  REQUIRE_OK(Train(Options(12), whole, Run(*env)));
  for (int64_t fail_at = 0; fail_at < 400; ++fail_at) {
    const auto disk = NewMemEnv();
    Regression first;
    {
      const auto failing = NewFaultEnv(*disk, fail_at);
      if (Train(Options(12), first, Run(*failing)).ok()) {
        REQUIRE(fail_at > 3);  // three states are written: some writes must have failed before
        return;
      }
    }
    Regression second;
    REQUIRE_OK(Train(Options(12), second, Run(*disk)));
    REQUIRE(at::equal(second.weight, whole.weight));
  }
  FAIL("a run of 12 steps needs more than 400 writes");
}

TEST_CASE("A complete run is not trained again") {
  const auto env = NewMemEnv();
  Regression first, second;
  REQUIRE_OK(Train(Options(20), first, Run(*env)));
  second.poisoned_step = 19;  // would stop it, were the step taken again
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(Options(20), second, Run(*env)));
  REQUIRE(report.first_step == 20);
  REQUIRE(at::equal(first.weight, second.weight));
}

TEST_CASE("A batch divided among workers gives the gradient of the whole batch") {
  const auto env = NewMemEnv(), env2 = NewMemEnv();
  Regression one, two;
  LoopOptions options = Options(30);
  REQUIRE_OK(Train(options, one, Run(*env)));
  options.set_workers(2);
  REQUIRE_OK(Train(options, two, Run(*env2)));
  REQUIRE(at::allclose(one.weight, two.weight, 1e-4, 1e-5));
  REQUIRE(one.weight.abs().sum().item<double>() > 0.1);
}

TEST_CASE("The weights left behind are the moving average") {
  // Without warm-up of the decay the average of a known sequence can be computed by hand.
  const auto env = NewMemEnv();
  LoopOptions options = Options(3);
  options.set_state_every(1);
  Regression objective;
  at::Tensor average = objective.weight.clone();
  for (int64_t steps = 1; steps <= 3; ++steps) {
    // The state after each step, of a run without average and of the same schedule.
    const auto plain_env = NewMemEnv();
    LoopOptions plain = options;
    plain.set_ema_decay(0);
    CancellationToken cancel;
    Regression walker;
    walker.cancel = &cancel;
    walker.cancel_at = steps - 1;
    TrainRun run = Run(*plain_env);
    run.cancel = &cancel;
    REQUIRE_FALSE(Train(plain, walker, run).ok());
    average = average.lerp(walker.weight.detach(), 1 - EmaDecay(options, steps - 1));
  }
  REQUIRE_OK(Train(options, objective, Run(*env)));
  REQUIRE(at::allclose(objective.weight, average, 1e-6, 1e-7));
  REQUIRE(EmaDecay(options, 0) == Approx(0.1));
  REQUIRE(EmaDecay(options, 1'000'000) == Approx(0.9));
}

TEST_CASE("Muon moves a matrix along a nearly orthogonal direction, vectors as AdamW does") {
  const auto env = NewMemEnv();
  LoopOptions options = Options(1);
  options.set_warmup_steps(0);
  options.set_final_rate_ratio(1);
  options.set_weight_decay(0);
  options.set_max_gradient_norm(0);
  options.set_ema_decay(0);
  Regression plain;
  REQUIRE_OK(Train(options, plain, Run(*env)));
  options.set_muon(true);
  const auto other = NewMemEnv();
  Regression muon;
  REQUIRE_OK(Train(options, muon, Run(*other)));
  REQUIRE(at::equal(plain.bias.detach(), muon.bias.detach()));
  // From zero, so the weight is the update: singular values near rate * 0.2 * sqrt(max(rows,
  // columns)).
  const double unit = options.learning_rate() * 0.2 * std::sqrt(3.0);
  const at::Tensor values = at::linalg_svdvals(muon.weight.detach()) / unit;
  INFO(values);
  REQUIRE(values.min().item<double>() > 0.5);
  REQUIRE(values.max().item<double>() < 1.3);
}

TEST_CASE("Muon reaches the answer, and a killed run continues to the same bits") {
  LoopOptions options = Options(800);
  options.set_muon(true);
  const auto env = NewMemEnv();
  Regression unbroken;
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(options, unbroken, Run(*env)));
  REQUIRE(report.loss < 0.2);
  const auto other = NewMemEnv();
  Regression first;
  CancellationToken cancel;
  first.cancel = &cancel;
  first.cancel_at = 57;
  TrainRun run = Run(*other);
  run.cancel = &cancel;
  REQUIRE(absl::IsCancelled(Train(options, first, run).status()));
  Regression second;
  REQUIRE_OK(Train(options, second, Run(*other)));
  REQUIRE(at::equal(unbroken.weight.detach(), second.weight.detach()));
}

TEST_CASE("The learning rate warms up, then falls as a cosine to its floor") {
  LoopOptions options = Options(103);
  REQUIRE(LearningRate(options, 0) == Approx(0.05 / 3));
  REQUIRE(LearningRate(options, 2) == Approx(0.05));
  REQUIRE(LearningRate(options, 52) == Approx(0.05 * (0.1 + 0.9 * 0.5)));
  REQUIRE(LearningRate(options, 102) == Approx(0.005));
}

TEST_CASE("A loss that is no number stops the run, names the step and keeps the last state") {
  const auto env = NewMemEnv();
  Regression objective;
  objective.poisoned_step = 7;
  const absl::Status status = Train(Options(20), objective, Run(*env)).status();
  REQUIRE(status.code() == absl::StatusCode::kAborted);
  const std::string message(status.message());
  REQUIRE(message.find("step 7") != std::string::npos);
  REQUIRE(message.find("learning_rate") != std::string::npos);
  Regression again;
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(Options(20), again, Run(*env)));
  REQUIRE(report.first_step == 5);
}

TEST_CASE("A state of other options or of another network is refused") {
  const auto env = NewMemEnv();
  Regression objective;
  REQUIRE_OK(Train(Options(10), objective, Run(*env)));
  LoopOptions other = Options(20);
  other.set_learning_rate(0.01);
  REQUIRE(Train(other, objective, Run(*env)).status().code() ==
          absl::StatusCode::kFailedPrecondition);
  Regression wider;
  wider.weight = at::zeros({2, 4});
  REQUIRE(Train(Options(20), wider, Run(*env)).status().code() ==
          absl::StatusCode::kFailedPrecondition);
  REQUIRE(Train(Options(8), objective, Run(*env)).status().code() ==
          absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("A state is continued by the same objective alone, and what differs is named") {
  const auto env = NewMemEnv();
  TrainRun run = Run(*env);
  TrainOptions& options = *run.identity.mutable_objective();
  options.set_seed(7);
  options.mutable_data()->set_size(32);
  options.mutable_vae()->set_crop_size(16);
  options.mutable_vae()->set_kl_weight(0.5);
  TrainingIdentity::Input& scans = *run.identity.add_inputs();
  scans.set_name("scans");
  scans.set_sha256("abc");
  Regression objective;
  REQUIRE_OK(Train(Options(10), objective, run));
  REQUIRE_OK(Train(Options(20), objective, run));  // more steps of the same
  const auto refused = [&](const std::function<void(TrainRun&, LoopOptions&)>& change,
                           const std::string& named) {
    TrainRun other = run;
    LoopOptions loop = Options(20);
    change(other, loop);
    const absl::Status status = Train(loop, objective, other).status();
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(std::string(status.message()).find(named) != std::string::npos);
  };
  using Loop = LoopOptions;
  refused([](TrainRun& r, Loop&) { r.identity.mutable_objective()->set_seed(8); },
          "objective.seed: 7 -> 8");
  refused([](TrainRun& r, Loop&) { r.identity.mutable_objective()->mutable_data()->set_size(64); },
          "objective.data.size: 32 -> 64");
  refused(
      [](TrainRun& r, Loop&) { r.identity.mutable_objective()->mutable_vae()->set_crop_size(8); },
      "objective.vae.crop_size: 16 -> 8");
  refused(
      [](TrainRun& r, Loop&) { r.identity.mutable_objective()->mutable_vae()->set_kl_weight(0); },
      "objective.vae.kl_weight");
  refused([](TrainRun& r, Loop&) { r.identity.mutable_inputs(0)->set_sha256("def"); },
          "\"abc\" -> \"def\"");
  refused([](TrainRun&, Loop& o) { o.set_learning_rate(0.01); }, "loop.learning_rate");
  // A state of another version has no identity.
  REQUIRE_OK(
      WriteSafetensors(*env, "state.safetensors", {{"step", at::scalar_tensor(1, at::kLong)}}));
  refused([](TrainRun&, Loop&) {}, "not a training state of this version");
}

// Throws on the thread of one part.
class Throwing : public Regression {
 public:
  at::Tensor Loss(int64_t step, int part, int parts) override {
    if (part == parts - 1) throw std::bad_alloc();
    return Regression::Loss(step, part, parts);
  }
};

TEST_CASE("A part of the batch that runs out of memory ends the training with a Status") {
  const auto env = NewMemEnv();
  for (const int workers : {1, 3}) {
    Throwing objective;
    LoopOptions options = Options(10);
    options.set_workers(workers);
    CHECK(absl::IsResourceExhausted(Train(options, objective, Run(*env)).status()));
  }
}

TEST_CASE("Options that cannot be meant are refused by name") {
  const auto refused = [](const std::function<void(LoopOptions&)>& spoil,
                          const std::string& field) {
    LoopOptions options = Options(10);
    spoil(options);
    const absl::Status status = CheckLoopOptions(options, "vae.loop");
    INFO(field);
    REQUIRE(status.code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(std::string(status.message()).find("vae.loop." + field) != std::string::npos);
  };
  REQUIRE_OK(CheckLoopOptions(Options(10), "vae.loop"));
  refused([](LoopOptions& o) { o.set_steps(0); }, "steps");
  refused([](LoopOptions& o) { o.set_batch(-1); }, "batch");
  refused([](LoopOptions& o) { o.set_learning_rate(0); }, "learning_rate");
  refused([](LoopOptions& o) { o.set_learning_rate(std::nan("")); }, "learning_rate");
  refused([](LoopOptions& o) { o.set_ema_decay(1); }, "ema_decay");
  refused([](LoopOptions& o) { o.set_final_rate_ratio(2); }, "final_rate_ratio");
  refused([](LoopOptions& o) { o.set_weight_decay(-0.1); }, "weight_decay");
  refused([](LoopOptions& o) { o.set_max_gradient_norm(-1); }, "max_gradient_norm");
  refused([](LoopOptions& o) { o.set_workers(5); }, "workers");
}

}  // namespace
}  // namespace wanlite::train
