// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/velocity_objective.h"

#include <ATen/autocast_mode.h>

#include <atomic>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/wan/dit.h"
#include "tests/testing/catch.h"
#include "tests/train/program_toy.h"
#include "wanlite/checkpoint.h"

namespace wanlite::train {
namespace {

using testing::LineData;
using testing::ProgramToy;
using testing::ToyView;

std::vector<at::Tensor> Gradients(const Component& component, const Values& inputs,
                                  bool recompute) {
  std::vector<at::Tensor> parameters = component.module->parameters();
  ProgramRun run;
  run.recompute = recompute;
  const at::Tensor output = RunProgram(component, inputs, run);
  return torch::autograd::grad({output.square().sum()}, parameters, {}, std::nullopt, false, true);
}

void CheckSameGradients(const Component& component, const Values& inputs) {
  const std::vector<at::Tensor> kept = Gradients(component, inputs, false);
  const std::vector<at::Tensor> again = Gradients(component, inputs, true);
  REQUIRE(kept.size() == again.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    INFO(component.module->named_parameters()[i].key());
    REQUIRE(kept[i].defined() == again[i].defined());
    if (kept[i].defined()) CHECK(at::equal(kept[i], again[i]));
  }
}

TEST_CASE("Computing blocks again gives the gradients of keeping them, bit for bit") {
  ModelView view = ToyView(1);
  const Component& toy = view.components()[0];
  auto& module = dynamic_cast<ProgramToy&>(*toy.module);
  const Values inputs = {{"input", at::randn({3, 4})}};
  CheckSameGradients(toy, inputs);
  // That blocks were run twice tells that nothing of their inside was kept.
  module.block_runs = 0;
  Gradients(toy, inputs, false);
  CHECK(module.block_runs == 2);
  module.block_runs = 0;
  Gradients(toy, inputs, true);
  CHECK(module.block_runs == 4);
  ASSERT_OK_AND_ASSIGN(const at::Tensor head, view.FindTensor("toy.head.weight"));
  CHECK(at::equal(RunProgram(toy, inputs, {}), ProgramOf(toy)->Run(inputs)));
}

TEST_CASE("So it is for the diffusion transformer, whose blocks share text, time and positions") {
  wan::DitConfig config;
  config.num_heads = 2;
  config.head_dim = 12;
  config.in_channels = config.out_channels = 4;
  config.text_dim = 10;
  config.freq_dim = 16;
  config.ffn_dim = 20;
  config.num_layers = 3;
  config.text_len = 6;
  auto dit = std::make_shared<wan::Dit>(config);
  dit->InitParameters(1);
  {
    at::NoGradGuard no_grad;
    dit->named_parameters()["head.head.weight"].normal_(0, 0.1);
  }
  const Component component{"transformer", ComponentRole::kDenoiser, "WanTransformer3DModel", "{}",
                            dit};
  const Values inputs = {{"hidden_states", at::randn({2, 4, 3, 4, 4})},
                         {"timestep", at::tensor({900.0f, 30.0f})},
                         {"encoder_hidden_states", at::randn({2, 6, 10})}};
  CheckSameGradients(component, inputs);
  // In bf16 too: the second run of a block must not fall back to fp32.
  at::autocast::set_autocast_enabled(at::kCPU, true);
  CheckSameGradients(component, inputs);
  at::autocast::set_autocast_enabled(at::kCPU, false);
}

absl::StatusOr<std::unique_ptr<VelocityObjective>> Make(const ModelView& student,
                                                        const ModelView* teacher,
                                                        const Dataset& data,
                                                        VelocityOptions options) {
  auto tensors = TrainableTensors(student, {});
  if (!tensors.ok()) return tensors.status();
  return VelocityObjective::Create(student.components()[0], *std::move(tensors),
                                   teacher != nullptr ? &teacher->components()[0] : nullptr, data,
                                   std::move(options));
}

TEST_CASE("The terms of the loss are what they say") {
  const ModelView student = ToyView(1), teacher = ToyView(2);
  const LineData data(6);
  VelocityOptions options;
  options.batch = 6;
  options.mix.data = 0.5;
  options.mix.teacher = 2;
  options.mix.kl = 3;
  options.mix.temperature = 4;
  options.mix.features = {{"x", 1, 2, 0.25}};
  ASSERT_OK_AND_ASSIGN(const auto objective, Make(student, &teacher, data, options));
  const Objective::Terms terms = objective->Loss(0, 0, 1);

  // The whole data once, in any order.
  std::vector<at::Tensor> x, y;
  std::vector<std::string> fingerprints;
  for (int64_t i = 0; i < 6; ++i) {
    ASSERT_OK_AND_ASSIGN(const Values sample, data.Read(i, 0));
    x.push_back(sample.at("input"));
    y.push_back(sample.at(kTargetValue));
  }
  Values ours{{"input", at::cat(x)}}, theirs = ours;
  const BlockProgram& a = *ProgramOf(student.components()[0]);
  const BlockProgram& b = *ProgramOf(teacher.components()[0]);
  at::Tensor our_x, their_x;
  for (size_t step = 0; step < a.Steps().size(); ++step) {
    a.RunStep(step, ours);
    b.RunStep(step, theirs);
    if (step == 1) our_x = ours.at("x");
    if (step == 2) their_x = theirs.at("x");
  }
  const at::Tensor p = ours.at("output"), q = theirs.at("output");
  const double expected[] = {
      (p - at::cat(y)).square().mean().item<double>(), (p - q).square().mean().item<double>(),
      16 * ((q / 4).softmax(1) * ((q / 4).log_softmax(1) - (p / 4).log_softmax(1)))
               .sum(1)
               .mean()
               .item<double>(),
      0.25 * ((our_x - their_x).square().mean() / their_x.square().mean()).item<double>()};
  const char* const names[] = {"data", "teacher", "kl", "features"};
  REQUIRE(terms.named.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(terms.named[i].first == names[i]);
    CHECK(terms.named[i].second == Approx(expected[i]));
  }
  CHECK(terms.total.item<double>() ==
        Approx(0.5 * expected[0] + 2 * expected[1] + 3 * expected[2] + expected[3]));

  // A student that is its teacher has nothing to learn from it.
  const ModelView twin = ToyView(1);
  options.mix.features = {{"x", 1, 1, 1}};
  ASSERT_OK_AND_ASSIGN(const auto same, Make(student, &twin, data, options));
  for (const auto& [name, value] : same->Loss(0, 0, 1).named) {
    if (name != "data") CHECK(std::abs(value) < 1e-9);
  }
}

TEST_CASE("A student learns its teacher; the teacher stays as it is") {
  const ModelView student = ToyView(1), teacher = ToyView(2);
  const LineData data(16);
  VelocityOptions options;
  options.batch = 8;
  options.mix.data = 0;
  options.mix.teacher = 1;
  options.recompute = true;
  ASSERT_OK_AND_ASSIGN(const auto objective, Make(student, &teacher, data, options));
  std::vector<at::Tensor> before;
  for (const NamedTensor& named : teacher.Tensors()) before.push_back(named.tensor.clone());
  LoopOptions loop;
  loop.steps = 150;
  loop.batch = 8;
  loop.learning_rate = 0.02;
  loop.max_gradient_norm = 1;
  const auto env = NewMemEnv();
  TrainRun run;
  run.env = env.get();
  run.what = "toy";
  run.state_dir = "state";
  run.identity = objective->identity();
  const double at_first = objective->Loss(0, 0, 1).total.item<double>();
  REQUIRE_OK(Train(loop, *objective, run));
  CHECK(objective->Loss(0, 0, 1).total.item<double>() < 0.2 * at_first);
  const std::vector<NamedTensor> after = teacher.Tensors();
  for (size_t i = 0; i < after.size(); ++i) CHECK(at::equal(after[i].tensor, before[i]));
}

TEST_CASE("Each pass over the data takes each sample once, in an order of its own") {
  const ModelView student = ToyView(1);
  const LineData data(10);
  VelocityOptions options;
  options.batch = 4;
  options.seed = 5;
  ASSERT_OK_AND_ASSIGN(const auto objective, Make(student, nullptr, data, options));
  std::vector<std::vector<int64_t>> passes;
  for (int64_t step = 0; step < 5; ++step) {  // 20 samples: two passes
    for (const int part : {0, 1}) objective->Loss(step, part, 2);
  }
  const std::vector<int64_t> read = data.read();
  REQUIRE(read.size() == 20);
  const std::set<int64_t> first(read.begin(), read.begin() + 10);
  // The third step is half of the first pass and half of the second.
  CHECK(std::set<int64_t>(read.begin(), read.end()).size() == 10);
  std::map<int64_t, int> times;
  for (const int64_t i : read) ++times[i];
  for (const auto& [i, count] : times) CHECK(count == 2);
  CHECK(std::vector<int64_t>(read.begin(), read.begin() + 8) !=
        std::vector<int64_t>(read.end() - 8, read.end()));
}

TEST_CASE("Samples of different shapes are one batch all the same") {
  const ModelView student = ToyView(1);
  const LineData even(4), uneven(4, /*uneven=*/true);
  VelocityOptions options;
  options.batch = 4;
  ASSERT_OK_AND_ASSIGN(const auto a, Make(student, nullptr, even, options));
  ASSERT_OK_AND_ASSIGN(const auto b, Make(student, nullptr, uneven, options));
  const double whole = b->Loss(0, 0, 1).total.item<double>();
  double sum = 0;
  for (int64_t i = 0; i < 4; ++i) {
    ASSERT_OK_AND_ASSIGN(const Values sample, uneven.Read(i, 0));
    const at::Tensor output = ProgramOf(student.components()[0])->Run(sample);
    sum += (output - sample.at(kTargetValue)).square().mean().item<double>() / 4;
  }
  CHECK(whole == Approx(sum));
  CHECK(a->Loss(0, 0, 1).named[0].second == Approx(a->Loss(0, 0, 1).total.item<double>()));
}

TEST_CASE("Losses that cannot be meant are refused") {
  const ModelView student = ToyView(1), teacher = ToyView(2);
  const LineData data(4), none(0);
  const auto refused = [&](const std::function<void(VelocityOptions&)>& spoil,
                           const std::string& named, const ModelView* with, const Dataset& from) {
    VelocityOptions options;
    spoil(options);
    const absl::Status status = Make(student, with, from, options).status();
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(status.message()).find(named) != std::string::npos);
  };
  refused([](VelocityOptions& o) { o.mix.data = 0; }, "no term", &teacher, data);
  refused([](VelocityOptions& o) { o.mix.kl = -1; }, "'kl' is -1", &teacher, data);
  refused([](VelocityOptions& o) { o.mix.teacher = 1; }, "there is none", nullptr, data);
  refused(
      [](VelocityOptions& o) {
        o.mix.kl = 1;
        o.mix.temperature = 0;
      },
      "temperature", &teacher, data);
  refused(
      [](VelocityOptions& o) {
        o.mix.features = {{"x", 9, 1, 1}};
      },
      "step 9 of the student", &teacher, data);
  refused(
      [](VelocityOptions& o) {
        o.mix.features = {{"x", 1, 7, 1}};
      },
      "step 7 of the teacher", &teacher, data);
  refused([](VelocityOptions& o) { o.batch = 0; }, "batch of 0", nullptr, data);
  refused([](VelocityOptions&) {}, "empty", nullptr, none);
}

TEST_CASE("What is trained follows from the model and the patterns") {
  const ModelView view = ToyView(1);
  ASSERT_OK_AND_ASSIGN(const std::vector<TrainedTensor> all, TrainableTensors(view, {}));
  CHECK(all.size() == view.Tensors().size());
  std::map<std::string, TrainedTensor> by_name;
  for (const TrainedTensor& trained : all) by_name[trained.name] = trained;
  CHECK(by_name.at("toy.blocks.0.up.weight").decay);
  CHECK_FALSE(by_name.at("toy.blocks.0.up.bias").decay);
  CHECK_FALSE(by_name.at("toy.blocks.0.norm").decay);
  TensorSelector muon;
  muon.muon = true;
  muon.include = {"*.weight"};
  muon.exclude = {"*.gate.*"};
  ASSERT_OK_AND_ASSIGN(const std::vector<TrainedTensor> some, TrainableTensors(view, muon));
  for (const TrainedTensor& trained : some) {
    const bool inner = trained.name.find("blocks") != std::string::npos;
    INFO(trained.name);
    CHECK((trained.rule == UpdateRule::kMuon) == inner);
    CHECK(trained.name.find("gate") == std::string::npos);
  }
  CHECK(some.size() == 6);
  TensorSelector wrong;
  wrong.include = {"*.wieght"};
  CHECK(TrainableTensors(view, wrong).status().code() == absl::StatusCode::kInvalidArgument);
  wrong = {};
  wrong.components = {"toy_3"};
  CHECK(TrainableTensors(view, wrong).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Masters are fp32 while they live, and go back to what was stored") {
  ModelView view = ToyView(1);
  REQUIRE_OK(view.Cast(at::kBFloat16));
  ASSERT_OK_AND_ASSIGN(const at::Tensor up, view.FindTensor("toy.blocks.0.up.weight"));
  const at::Tensor before = up.detach().clone();
  {
    ASSERT_OK_AND_ASSIGN(MasterWeights masters, MasterWeights::Of(view, "toy"));
    CHECK(up.scalar_type() == at::kFloat);
    CHECK(up.requires_grad());
    at::NoGradGuard no_grad;
    up.add_(1e-5);  // too small for bf16 to tell
    REQUIRE_OK(masters.Restore());
    CHECK(up.scalar_type() == at::kBFloat16);
    CHECK(at::equal(up, before));
  }
  {
    ASSERT_OK_AND_ASSIGN(const MasterWeights masters, MasterWeights::Of(view, "toy"));
    CHECK(up.scalar_type() == at::kFloat);
  }
  CHECK(up.scalar_type() == at::kBFloat16);
  ASSERT_OK_AND_ASSIGN(const at::Tensor head, view.FindTensor("toy.head.weight"));
  CHECK(head.scalar_type() == at::kFloat);  // it was before
}

}  // namespace
}  // namespace wanlite::train
