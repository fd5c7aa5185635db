// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/train.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>

#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <new>
#include <set>

#include "src/core/libtorch.h"
#include "src/train/state_files.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "wanlite/checkpoint.h"

namespace wanlite::train {
namespace {

using testing::FilesOf;

LoopOptions Options(int64_t steps) {
  LoopOptions options;
  options.steps = steps;
  options.batch = 4;
  options.learning_rate = 0.05;
  options.warmup_steps = 3;
  options.final_rate_ratio = 0.1;
  options.weight_decay = 0.01;
  options.max_gradient_norm = 1.0;
  options.ema_decay = 0.9;
  options.state_every = 5;
  return options;
}

// Fits y = x W* + b* from batches that depend on the step.
class Regression : public Objective {
 public:
  Regression() : weight(at::zeros({2, 3})), bias(at::zeros({2})) {}
  std::vector<TrainedTensor> Parameters() override {
    return {{"weight", weight, 1, true, rule}, {"bias", bias, 1, /*decay=*/false}};
  }
  Terms Loss(int64_t step, int part, int parts) override {
    this->parts = parts;
    if (step == poisoned_step || poisoned_steps.contains(step)) {
      return {weight.sum() * std::numeric_limits<double>::quiet_NaN(), {{"half", 0}}};
    }
    if (cancel_at >= 0 && step == cancel_at) cancel->Cancel();
    // Every part sees the entries part, part + parts, ... of one batch.
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(100 + step);
    const at::Tensor x = at::randn({4, 3}, generator).slice(0, part, 4, parts);
    const at::Tensor target = at::tensor({1.0f, -2.0f, 0.5f, 3.0f, 0.0f, -1.0f}).reshape({2, 3});
    const at::Tensor loss =
        at::mse_loss(at::linear(x, weight, bias), at::linear(x, target, at::tensor({0.5f, -0.5f})));
    if (spikes.contains(step)) return {loss * 1e6, {{"half", 0}}};
    return {loss, {{"half", loss.item<double>() / 2}}};
  }
  at::Tensor weight, bias;
  UpdateRule rule = UpdateRule::kAdamW;
  std::atomic<int> parts{0};  // as the loop last asked for
  int64_t poisoned_step = -1;
  std::set<int64_t> poisoned_steps, spikes;
  int64_t cancel_at = -1;
  CancellationToken* cancel = nullptr;
};

TrainRun Run(Env& env) {
  TrainRun run;
  run.env = &env;
  run.what = "regression";
  run.state_dir = "state";
  return run;
}

TEST_CASE("Training brings the loss down to almost nothing on a problem with an exact answer") {
  const auto env = NewMemEnv();
  Regression objective;
  const double before = objective.Loss(0, 0, 1).total.item<double>();
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(Options(400), objective, Run(*env)));
  REQUIRE(report.steps == 400);
  REQUIRE(before > 1);
  REQUIRE(objective.Loss(1, 0, 1).total.item<double>() < 0.01 * before);
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
  REQUIRE(FilesOf(*env, "state") == FilesOf(*broken_env, "state"));
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
  options.workers = 2;
  REQUIRE_OK(Train(options, two, Run(*env2)));
  REQUIRE(at::allclose(one.weight, two.weight, 1e-4, 1e-5));
  REQUIRE(one.weight.abs().sum().item<double>() > 0.1);
}

TEST_CASE("The weights left behind are the moving average") {
  // Without warm-up of the decay the average of a known sequence can be computed by hand.
  const auto env = NewMemEnv();
  LoopOptions options = Options(3);
  options.state_every = 1;
  Regression objective;
  at::Tensor average = objective.weight.clone();
  for (int64_t steps = 1; steps <= 3; ++steps) {
    // The state after each step, of a run without average and of the same schedule.
    const auto plain_env = NewMemEnv();
    LoopOptions plain = options;
    plain.ema_decay = 0;
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
  options.warmup_steps = 0;
  options.final_rate_ratio = 1;
  options.weight_decay = 0;
  options.max_gradient_norm = 0;
  options.ema_decay = 0;
  Regression plain;
  REQUIRE_OK(Train(options, plain, Run(*env)));
  const auto other = NewMemEnv();
  Regression muon;
  muon.rule = UpdateRule::kMuon;
  REQUIRE_OK(Train(options, muon, Run(*other)));
  REQUIRE(at::equal(plain.bias.detach(), muon.bias.detach()));
  // From zero, so the weight is the update: singular values near rate * 0.2 * sqrt(max(rows,
  // columns)).
  const double unit = options.learning_rate * 0.2 * std::sqrt(3.0);
  const at::Tensor values = at::linalg_svdvals(muon.weight.detach()) / unit;
  INFO(values);
  REQUIRE(values.min().item<double>() > 0.5);
  REQUIRE(values.max().item<double>() < 1.3);
}

TEST_CASE("Muon reaches the answer, and a killed run continues to the same bits") {
  LoopOptions options = Options(800);
  const auto env = NewMemEnv();
  Regression unbroken;
  unbroken.rule = UpdateRule::kMuon;
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(options, unbroken, Run(*env)));
  REQUIRE(report.loss < 0.2);
  const auto other = NewMemEnv();
  Regression first;
  first.rule = UpdateRule::kMuon;
  CancellationToken cancel;
  first.cancel = &cancel;
  first.cancel_at = 57;
  TrainRun run = Run(*other);
  run.cancel = &cancel;
  REQUIRE(absl::IsCancelled(Train(options, first, run).status()));
  Regression second;
  second.rule = UpdateRule::kMuon;
  REQUIRE_OK(Train(options, second, Run(*other)));
  REQUIRE(at::equal(unbroken.weight.detach(), second.weight.detach()));
}

TEST_CASE("A batch in pieces gives the gradient of the whole batch") {
  Regression whole, pieces;
  const auto env = NewMemEnv(), other = NewMemEnv();
  LoopOptions options = Options(30);
  REQUIRE_OK(Train(options, whole, Run(*env)));
  options.accumulate = 4;
  REQUIRE_OK(Train(options, pieces, Run(*other)));
  CHECK(at::allclose(whole.weight, pieces.weight, 1e-4, 1e-5));
  CHECK(pieces.parts == 4);
  // In pieces and divided among workers alike, sums have one order.
  Regression divided;
  const auto third = NewMemEnv();
  options.accumulate = 2;
  options.workers = 2;
  REQUIRE_OK(Train(options, divided, Run(*third)));
  CHECK(at::equal(pieces.weight, divided.weight));
}

TEST_CASE("Terms of the loss come back by name, in the report and after each step") {
  const auto env = NewMemEnv();
  Regression objective;
  TrainRun run = Run(*env);
  std::vector<StepReport> steps;
  run.observe = [&](const StepReport& step) { steps.push_back(step); };
  LoopOptions options = Options(7);
  options.workers = 2;
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(options, objective, run));
  REQUIRE(steps.size() == 7);
  double loss = 0;
  for (const StepReport& step : steps) {
    REQUIRE(step.terms.size() == 1);
    CHECK(step.terms[0].first == "half");
    CHECK(step.terms[0].second == Approx(step.loss / 2));
    CHECK(step.rate == LearningRate(options, step.step));
    CHECK(step.gradient_norm > 0);
    loss += step.loss / 7;
  }
  CHECK(report.loss == Approx(loss));
  REQUIRE(report.terms.size() == 1);
  CHECK(report.terms[0].second == Approx(loss / 2));
}

TEST_CASE("A tensor has a rate and a decay of its own") {
  const auto env = NewMemEnv(), other = NewMemEnv();
  class Groups : public Regression {
   public:
    std::vector<TrainedTensor> Parameters() override {
      return {{"weight", weight, scale, decay}, {"bias", bias, 1, false}};
    }
    double scale = 1;
    bool decay = true;
  };
  LoopOptions options = Options(1);
  options.warmup_steps = 0;
  options.ema_decay = 0;
  options.weight_decay = 0.5;
  Groups plain, slow, kept;
  for (Groups* one : {&plain, &slow, &kept}) one->weight.fill_(2);
  REQUIRE_OK(Train(options, plain, Run(*env)));
  slow.scale = 0;
  REQUIRE_OK(Train(options, slow, Run(*other)));
  CHECK(at::equal(slow.weight, at::full({2, 3}, 2.0)));
  CHECK(at::equal(slow.bias, plain.bias));
  kept.decay = false;
  const auto third = NewMemEnv();
  REQUIRE_OK(Train(options, kept, Run(*third)));
  CHECK_FALSE(at::equal(kept.weight, plain.weight));
  // Another list of updates is another training.
  Groups again;
  const absl::Status refused = Train(options, again, Run(*other)).status();
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(refused.message()).find("tensors: ") != std::string::npos);
}

TEST_CASE("Steps that are not finite are left out as long as the bound allows, over a kill too") {
  LoopOptions options = Options(20);
  options.max_skipped_steps = 2;
  const auto env = NewMemEnv();
  Regression objective;
  objective.poisoned_steps = {3, 8};
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(options, objective, Run(*env)));
  CHECK(report.steps == 20);
  CHECK(report.skipped == 2);
  CHECK(objective.weight.isfinite().all().item<bool>());
  CHECK(std::isfinite(report.loss));
  // The count goes on where it was.
  options.steps = 30;
  Regression more;
  more.poisoned_steps = {24};
  const absl::Status status = Train(options, more, Run(*env)).status();
  CHECK(status.code() == absl::StatusCode::kAborted);
  CHECK(std::string(status.message()).find("2 steps were left out") != std::string::npos);
}

TEST_CASE("Each step that is left out lowers the rate of those that follow, over a kill too") {
  LoopOptions options = Options(20);
  options.max_skipped_steps = 4;
  options.rate_after_skip = 0.5;
  const auto env = NewMemEnv();
  Regression whole;
  whole.poisoned_steps = {3, 8};
  TrainRun run = Run(*env);
  run.observe = [&](const StepReport& step) {
    const double factor = step.step <= 3 ? 1 : step.step <= 8 ? 0.5 : 0.25;
    CHECK(step.rate == Approx(factor * LearningRate(options, step.step)));
  };
  REQUIRE_OK(Train(options, whole, run));
  const auto broken_env = NewMemEnv();
  Regression first;
  first.poisoned_steps = {3, 8};
  CancellationToken cancel;
  first.cancel = &cancel;
  first.cancel_at = 6;
  TrainRun other = Run(*broken_env);
  other.cancel = &cancel;
  REQUIRE(absl::IsCancelled(Train(options, first, other).status()));
  Regression second;
  second.poisoned_steps = {8};
  other = Run(*broken_env);
  other.observe = run.observe;
  REQUIRE_OK(Train(options, second, other));
  CHECK(at::equal(second.weight, whole.weight));
  CHECK(FilesOf(*env, "state") == FilesOf(*broken_env, "state"));
}

TEST_CASE("A loss far above the last ones is left out as one that is not finite, over a kill too") {
  LoopOptions options = Options(40);
  options.max_skipped_steps = 1;
  options.loss_spike = 50;
  const auto env = NewMemEnv();
  Regression whole;
  whole.spikes = {5, 30};  // before the fifth there are too few to tell
  ASSERT_OK_AND_ASSIGN(const TrainReport report, Train(options, whole, Run(*env)));
  CHECK(report.skipped == 1);
  // The losses before it are part of the state.
  const auto broken_env = NewMemEnv();
  CancellationToken cancel;
  Regression first;
  first.spikes = {5, 30};
  first.cancel = &cancel;
  first.cancel_at = 28;
  TrainRun run = Run(*broken_env);
  run.cancel = &cancel;
  REQUIRE(absl::IsCancelled(Train(options, first, run).status()));
  Regression second;
  second.spikes = {5, 30};
  REQUIRE_OK(Train(options, second, Run(*broken_env)));
  CHECK(at::equal(second.weight, whole.weight));
  CHECK(FilesOf(*env, "state") == FilesOf(*broken_env, "state"));
  // One more is an error that says so.
  Regression more;
  more.spikes = {50};
  options.steps = 60;
  const absl::Status status = Train(options, more, Run(*broken_env)).status();
  CHECK(absl::IsAborted(status));
  CHECK(std::string(status.message()).find("times the median of the last") != std::string::npos);
}

TEST_CASE("With bf16 products the weights stay fp32 and the answer is found") {
  const auto env = NewMemEnv(), other = NewMemEnv();
  LoopOptions options = Options(400);
  Regression plain, mixed;
  REQUIRE_OK(Train(options, plain, Run(*env)));
  options.bf16 = true;
  options.workers = 2;
  REQUIRE_OK(Train(options, mixed, Run(*other)));
  CHECK(mixed.weight.scalar_type() == at::kFloat);
  CHECK_FALSE(at::equal(plain.weight, mixed.weight));
  CHECK(at::allclose(plain.weight, mixed.weight, 0.05, 0.05));
  CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

TEST_CASE("A state holds no average where there is none, and its files have bounded sizes") {
  const auto env = NewMemEnv();
  LoopOptions options = Options(5);
  options.ema_decay = 0;
  Regression objective;
  TrainRun run = Run(*env);
  run.max_shard_bytes = 40;  // weight: 24 bytes, bias: 8
  REQUIRE_OK(Train(options, objective, run));
  int shards = 0;
  for (const auto& [name, bytes] : FilesOf(*env, "state")) {
    if (name == "state.json") continue;
    ++shards;
    ASSERT_OK_AND_ASSIGN(const auto source, OpenSafetensors(*env, JoinPath("state", name)));
    int64_t sum = 0;
    for (const TensorInfo& info : source->tensors()) {
      sum += info.bytes();
      CHECK(info.name.find("average") == std::string::npos);
    }
    CHECK(sum <= 40);
  }
  CHECK(shards == 3);  // weights; moments
}

TEST_CASE("A shard whose tensors did not change is not written again") {
  const auto env = NewMemEnv();
  const at::Tensor a = at::ones({8}), b = at::ones({8});
  StateFiles files(*env, "state", 32);
  REQUIRE_OK(files.Write({1, 0, {}, {}}, {{"a", a}, {"b", b}}));
  REQUIRE(files.shards_written() == 2);
  b.fill_(2);
  REQUIRE_OK(files.Write({2, 0, {}, {}}, {{"a", a}, {"b", b}}));
  CHECK(files.shards_written() == 3);
  CHECK(FilesOf(*env, "state").size() == 3);  // two shards and the record
  StateFiles again(*env, "state", 32);
  ASSERT_OK_AND_ASSIGN(const std::optional<StateRecord> record, again.ReadRecord());
  REQUIRE(record.has_value());
  CHECK(record->step == 2);
  const at::Tensor into_a = at::zeros({8}), into_b = at::zeros({8});
  REQUIRE_OK(again.ReadTensors({{"a", into_a}, {"b", into_b}}));
  CHECK((at::equal(into_a, a) && at::equal(into_b, b)));
  REQUIRE_OK(again.Write({3, 0, {}, {}}, {{"a", a}, {"b", b}}));
  CHECK(again.shards_written() == 0);
}

TEST_CASE("A damaged state is told, and nobody else's file in its folder is touched") {
  const auto env = NewMemEnv();
  REQUIRE_OK(env->CreateFolders("state"));
  REQUIRE_OK(env->WriteFileAtomically("state/shard-mine.safetensors", "1"));
  Regression objective;
  REQUIRE_OK(Train(Options(12), objective, Run(*env)));
  CHECK(env->FileExists("state/shard-mine.safetensors"));
  for (const auto& [name, bytes] : FilesOf(*env, "state")) {
    if (name == "state.json" || name == "shard-mine.safetensors") continue;
    const std::string path = JoinPath("state", name);
    std::string changed = bytes;
    changed.back() = static_cast<char>(changed.back() ^ 1);
    for (const std::string& bad : {changed, bytes.substr(0, bytes.size() / 2)}) {
      REQUIRE_OK(env->WriteFileAtomically(path, bad));
      const absl::Status status = Train(Options(20), objective, Run(*env)).status();
      INFO(status.ToString());
      CHECK(absl::IsDataLoss(status));
      CHECK(std::string(status.message()).find(name) != std::string::npos);
    }
    REQUIRE_OK(env->WriteFileAtomically(path, bytes));
  }
  REQUIRE_OK(Train(Options(20), objective, Run(*env)));
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
  other.learning_rate = 0.01;
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
  run.identity = {{"objective.seed", "7"}, {"objective.crop", "16"}, {"SHA-256 of scans", "abc"}};
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
  refused([](TrainRun& r, Loop&) { r.identity["objective.seed"] = "8"; }, "objective.seed: 7 -> 8");
  refused([](TrainRun& r, Loop&) { r.identity.erase("objective.crop"); },
          "objective.crop: 16 -> (none)");
  refused([](TrainRun& r, Loop&) { r.identity["teacher"] = "x"; }, "teacher: (none) -> x");
  refused([](TrainRun& r, Loop&) { r.identity["SHA-256 of scans"] = "def"; }, "abc -> def");
  refused([](TrainRun&, Loop& o) { o.learning_rate = 0.01; }, "loop.learning_rate");
  // A state of another version says nothing of all this.
  REQUIRE_OK(env->WriteFileAtomically("state/state.json", "{\"step\": 1}"));
  refused([](TrainRun&, Loop&) {}, "not a training state of this version");
}

// Throws on the thread of one part.
class Throwing : public Regression {
 public:
  Terms Loss(int64_t step, int part, int parts) override {
    if (part == parts - 1) throw std::bad_alloc();
    return Regression::Loss(step, part, parts);
  }
};

TEST_CASE("A part of the batch that runs out of memory ends the training with a Status") {
  const auto env = NewMemEnv();
  for (const int workers : {1, 3}) {
    Throwing objective;
    LoopOptions options = Options(10);
    options.workers = workers;
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
  refused([](LoopOptions& o) { o.steps = 0; }, "steps");
  refused([](LoopOptions& o) { o.batch = -1; }, "batch");
  refused([](LoopOptions& o) { o.learning_rate = 0; }, "learning_rate");
  refused([](LoopOptions& o) { o.learning_rate = std::nan(""); }, "learning_rate");
  refused([](LoopOptions& o) { o.ema_decay = 1; }, "ema_decay");
  refused([](LoopOptions& o) { o.final_rate_ratio = 2; }, "final_rate_ratio");
  refused([](LoopOptions& o) { o.weight_decay = -0.1; }, "weight_decay");
  refused([](LoopOptions& o) { o.max_gradient_norm = -1; }, "max_gradient_norm");
  refused([](LoopOptions& o) { o.workers = 5; }, "workers");
  refused([](LoopOptions& o) { o.workers = 0; }, "workers");
  refused([](LoopOptions& o) { o.accumulate = 5; }, "accumulate");
  refused(
      [](LoopOptions& o) {
        o.accumulate = 2;
        o.workers = 3;
      },
      "workers");
  refused([](LoopOptions& o) { o.max_skipped_steps = -1; }, "max_skipped_steps");
  refused([](LoopOptions& o) { o.loss_spike = 0.5; }, "loss_spike");
  refused([](LoopOptions& o) { o.rate_after_skip = 0; }, "rate_after_skip");
}

}  // namespace
}  // namespace wanlite::train
