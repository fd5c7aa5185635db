// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/unit_scores.h"

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/option_field.h"
#include "src/proto/pruning.pb.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/tiny_wan.h"
#include "tests/testing/toy_model.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/linear_tap.h"
#include "wanlite/nn.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using testing::MapSource;
using testing::ToyComponent;
using testing::ToyModel;

using UnitScoreMap = std::map<std::string, UnitScores>;

UnitCriterion Criterion(UnitCriterion::Score score) {
  UnitCriterion criterion;
  criterion.set_score(score);
  REQUIRE_OK(ResolveCriterion(criterion, "criterion"));
  return criterion;
}

std::vector<AxisGroup> GroupsOf(const ModelView& view, const std::string& ending,
                                const std::string& component = "transformer") {
  std::vector<AxisGroup> groups;
  for (const AxisGroup& group : view.groups()) {
    if (view.ComponentOf(group.name).name == component && absl::EndsWith(group.name, ending)) {
      groups.push_back(group);
    }
  }
  REQUIRE_FALSE(groups.empty());
  return groups;
}

void CheckNear(const at::Tensor& found, const at::Tensor& wanted, double tolerance = 1e-5) {
  REQUIRE(found.defined());
  REQUIRE(found.scalar_type() == at::kDouble);
  REQUIRE(found.sizes() == wanted.sizes());
  CHECK((found - wanted).abs().max().item<double>() <=
        tolerance * wanted.abs().max().item<double>());
}

// Indices of a unit along the dimension of a ref, as the header says it.
at::Tensor IndicesOf(const AxisGroup& group, const AxisRef& ref, int64_t unit) {
  std::vector<int64_t> indices;
  for (int64_t o = 0; o < ref.outer; ++o) {
    for (int64_t r = 0; r < ref.repeat; ++r) {
      indices.push_back(o * group.units * ref.repeat + unit * ref.repeat + r);
    }
  }
  return at::tensor(indices, at::kLong);
}

// A toy of random shape with samples: what flows in is larger at late timesteps.
struct ScoreToy {
  std::unique_ptr<Env> env = NewMemEnv();
  std::shared_ptr<ToyModel> model;
  std::vector<Values> inputs;
  std::vector<SampleInfo> infos;

  explicit ScoreToy(uint64_t seed, bool targets = false) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    const auto draw = [&](int64_t low, int64_t high) {
      return at::randint(low, high, {1}, generator, at::kLong).item<int64_t>();
    };
    std::vector<int64_t> hidden;
    for (int64_t i = draw(1, 4); i > 0; --i) hidden.push_back(draw(1, 20));
    model = std::make_shared<ToyModel>(draw(2, 12), hidden);
    model->Randomize(seed);
    for (int64_t i = 0; i < 6; ++i) {
      const int64_t rows = draw(1, 9);
      inputs.push_back(
          {{"input", (1.0 + static_cast<double>(i % 3)) * at::randn({rows, 4}, generator)}});
      if (targets) inputs.back()["target"] = at::randn({rows, 3}, generator);
    }
    testing::WriteSampleSet(*env, "/samples", "toy", inputs, [&](size_t i, SampleInfo& sample) {
      sample.weight = 1 + static_cast<double>(i);
      sample.branch = i < 3 ? "conditional" : "negative";
      sample.step = static_cast<int64_t>(i % 3);
      sample.timestep = 900 - 400 * static_cast<double>(i % 3);
      infos.push_back(sample);
    });
  }
  ModelView View() const {
    ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
    return view;
  }
  // Another one, whose values come block by block.
  ModelView Streaming() const {
    std::vector<int64_t> hidden;
    for (const auto& block : model->blocks) hidden.push_back(block->up->out_features());
    const nn::HollowGuard guard;
    auto hollow = std::make_shared<ToyModel>(model->embed->out_features(), hidden);
    ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(hollow)}));
    view.AttachSource(std::make_shared<MapSource>(View().Tensors()));
    return view;
  }
  absl::StatusOr<UnitScoreMap> Score(ModelView& view, const UnitCriterion& criterion,
                                     uint64_t seed = 1) const {
    WANLITE_ASSIGN_OR_RETURN(const SampleSet samples, SampleSet::Open(*env, "/samples"));
    PassContext context;
    context.env = env.get();
    context.scratch = "/scratch";
    context.samples = &samples;
    context.seed = seed;
    const std::vector<AxisGroup> groups = view.groups();
    absl::StatusOr<UnitScoreMap> scores = ScoreUnits(view, groups, criterion, context);
    if (scores.ok() && env->FolderExists("/scratch")) CHECK(env->ListFolder("/scratch")->empty());
    return scores;
  }
};

TEST_CASE("norms of all weights of a unit, of any model and format") {
  const bool squares = GENERATE(false, true);
  const UnitCriterion criterion = Criterion(squares ? UnitCriterion::L2 : UnitCriterion::L1);
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model"));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  ASSERT_OK_AND_ASSIGN(ModelView whole, folder.BuildView());
  REQUIRE_OK(whole.LoadAll());
  PassContext context;
  const std::vector<AxisGroup> groups = view.groups();
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap scores, ScoreUnits(view, groups, criterion, context));
  CHECK(scores.size() == groups.size());
  std::set<std::string> kinds;
  for (const AxisGroup& group : groups) {
    INFO(group.name);
    kinds.insert(group.kind);
    std::vector<double> wanted;
    for (int64_t unit = 0; unit < group.units; ++unit) {
      double sum = 0;
      const auto add = [&](const std::string& path, int64_t dim, const at::Tensor& indices) {
        ASSERT_OK_AND_ASSIGN(const at::Tensor tensor, whole.FindTensor(path));
        const at::Tensor part = tensor.detach().to(at::kDouble).index_select(dim, indices);
        sum += (squares ? part.square() : part.abs()).sum().item<double>();
      };
      for (const AxisRef& ref : group.refs) {
        if (ref.role != AxisRole::kSliced) continue;
        const at::Tensor indices = IndicesOf(group, ref, unit);
        const bool layer = whole.Weight(ref.tensor).ok();
        add(layer ? ref.tensor + ".weight" : ref.tensor, ref.dim, indices);
        if (layer && ref.dim == 0 && whole.FindTensor(ref.tensor + ".bias").ok()) {
          add(ref.tensor + ".bias", 0, indices);
        }
      }
      wanted.push_back(squares ? std::sqrt(sum) : sum);
    }
    CheckNear(scores.at(group.name).cost, at::tensor(wanted, at::kDouble));
    CHECK_FALSE(scores.at(group.name).worst.defined());
  }
  // Units that stand several times, blocks that share units, plain tensors.
  for (const char* kind : {"width", "vae.attention", "vae.width", "self_attn.heads"}) {
    CHECK(kinds.count(kind) == 1);
  }
}

TEST_CASE("norms of weights that are not dense are those of the matrix they stand for") {
  const ScoreToy toy(3);
  ModelView view = toy.View();
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap dense, toy.Score(view, Criterion(UnitCriterion::L2)));
  // All but the even input features of the readers hidden.
  for (size_t i = 0; i < toy.model->blocks.size(); ++i) {
    const std::string path = absl::StrCat("toy.blocks.", i, ".down");
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(path));
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> base, weight->Share());
    const at::Tensor even = at::arange(weight->in_features()).remainder(2).eq(0);
    ASSERT_OK_AND_ASSIGN(
        std::unique_ptr<LinearWeight> masked,
        MakeMaskedWeight(std::move(base), even.expand({weight->out_features(), -1}).contiguous()));
    const at::Tensor columns = weight->Dequantize().to(at::kDouble).square().sum(0);
    REQUIRE_OK(view.SetLinearWeight(path, std::move(masked)));
    ASSERT_OK_AND_ASSIGN(const UnitScoreMap scores, toy.Score(view, Criterion(UnitCriterion::L2)));
    const std::string group = absl::StrCat("toy.blocks.", i, ".channels");
    CheckNear(scores.at(group).cost.square(),
              dense.at(group).cost.square() - columns * even.logical_not());
  }
}

TEST_CASE("random scores are a function of seed and group") {
  const ScoreToy toy(5);
  ModelView view = toy.View();
  const UnitCriterion random = Criterion(UnitCriterion::RANDOM);
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap a, toy.Score(view, random, 1));
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap b, toy.Score(view, random, 1));
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap c, toy.Score(view, random, 2));
  for (const auto& [name, scores] : a) {
    CHECK(at::equal(scores.cost, b.at(name).cost));
    CHECK_FALSE(at::equal(scores.cost, c.at(name).cost));
    CHECK(scores.cost.min().item<double>() >= 0);
  }
}

// What goes into every layer, by pass: fp64 [rows, in].
struct KeptInputs : LinearTap {
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    inputs[linear.path].push_back(x.detach().reshape({-1, x.size(-1)}).to(at::kDouble));
  }
  std::map<std::string, std::vector<at::Tensor>> inputs;
};

// Mean or maximum over timesteps of costs of means, from what each pass gives: [passes][units].
UnitScores Combined(const std::vector<at::Tensor>& passes, const std::vector<SampleInfo>& infos,
                    bool worst, const std::function<at::Tensor(const at::Tensor&)>& cost_of) {
  std::map<double, std::pair<double, at::Tensor>> timesteps;
  double weights = 0;
  at::Tensor sum = at::zeros_like(passes.front());
  for (size_t i = 0; i < passes.size(); ++i) {
    auto& [weight, own] = timesteps[infos[i].timestep];
    weight += infos[i].weight;
    weights += infos[i].weight;
    if (!own.defined()) own = at::zeros_like(sum);
    own += infos[i].weight * passes[i];
    sum += infos[i].weight * passes[i];
  }
  UnitScores scores;
  at::Tensor largest = at::zeros_like(sum);
  double most = -1;
  for (const auto& [timestep, pair] : timesteps) {
    const at::Tensor cost = cost_of(pair.second / pair.first);
    largest = at::maximum(largest, cost);
    if (cost.sum().item<double>() <= most) continue;
    most = cost.sum().item<double>();
    scores.worst = cost;
    scores.worst_timestep = timestep;
  }
  scores.cost = worst ? largest : cost_of(sum / weights);
  return scores;
}

void CheckSameScores(const UnitScores& found, const UnitScores& wanted, double tolerance = 1e-5) {
  CheckNear(found.cost, wanted.cost, tolerance);
  CheckNear(found.worst, wanted.worst, tolerance);
  CHECK(found.worst_timestep == wanted.worst_timestep);
}

TEST_CASE("activation scores: columns of the readers times what they read") {
  const auto seed = static_cast<uint64_t>(GENERATE(range(1, 5)));
  const bool streaming = GENERATE(false, true), worst = GENERATE(false, true);
  const ScoreToy toy(seed);
  ModelView whole = toy.View();
  KeptInputs kept;
  {
    const at::NoGradGuard no_grad;
    std::vector<TapGuard> taps;
    for (const BlockInfo& block : whole.blocks()) {
      ASSERT_OK_AND_ASSIGN(TapGuard tap, TapLinears(whole, block.path, kept));
      taps.push_back(std::move(tap));
    }
    for (const Values& values : toy.inputs) toy.model->Run(values);
  }
  ModelView view = streaming ? toy.Streaming() : toy.View();
  UnitCriterion criterion = Criterion(UnitCriterion::ACTIVATION);
  if (worst) criterion.set_over(UnitCriterion::WORST);
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap scores, toy.Score(view, criterion));
  for (size_t i = 0; i < toy.model->blocks.size(); ++i) {
    const std::string path = absl::StrCat("toy.blocks.", i);
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, whole.Weight(path + ".down"));
    const at::Tensor columns = weight->Dequantize().to(at::kDouble).square().sum(0);
    std::vector<at::Tensor> passes;
    for (const at::Tensor& rows : kept.inputs.at(path + ".down")) {
      passes.push_back(columns * rows.square().mean(0));
    }
    CheckSameScores(
        scores.at(path + ".channels"),
        Combined(passes, toy.infos, worst, [](const at::Tensor& x) { return x.sqrt(); }));
  }
}

TEST_CASE("gradient scores: Taylor and the diagonal Hessian of the data loss") {
  const auto seed = static_cast<uint64_t>(GENERATE(range(1, 4)));
  const bool obd = GENERATE(false, true), worst = GENERATE(false, true);
  const ScoreToy toy(seed, /*targets=*/true);
  ModelView whole = toy.View();
  UnitCriterion criterion;
  criterion.set_score(obd ? UnitCriterion::OBD : UnitCriterion::TAYLOR);
  criterion.set_loss(UnitCriterion::DATA);
  if (worst) criterion.set_over(UnitCriterion::WORST);
  REQUIRE_OK(ResolveCriterion(criterion, "criterion"));
  ModelView view = seed % 2 == 0 ? toy.Streaming() : toy.View();
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap scores, toy.Score(view, criterion));
  std::map<std::string, std::vector<at::Tensor>> passes;
  for (const Values& values : toy.inputs) {
    const at::AutoGradMode with_gradients(true);
    for (at::Tensor& parameter : toy.model->parameters()) parameter.mutable_grad() = at::Tensor();
    (toy.model->Run(values) - values.at("target")).square().mean().backward();
    for (size_t i = 0; i < toy.model->blocks.size(); ++i) {
      const at::Tensor weight = *toy.model->blocks[i]->down->weight().dense();
      const at::Tensor gradient = (weight.detach() * weight.grad()).to(at::kDouble).sum(0);
      passes[absl::StrCat("toy.blocks.", i, ".channels")].push_back(obd ? gradient.square() / 2
                                                                        : gradient.abs());
    }
  }
  for (const auto& [group, own] : passes) {
    INFO(group);
    CheckSameScores(scores.at(group),
                    Combined(own, toy.infos, worst, [](const at::Tensor& x) { return x; }), 1e-4);
  }
}

TEST_CASE("gradient scores of disturbed gates are of the distance to the model's own output") {
  const ScoreToy toy(2);
  ModelView view = toy.View();
  UnitCriterion criterion = Criterion(UnitCriterion::TAYLOR);
  CHECK(criterion.disturbance() == 0.1);
  CHECK(criterion.samples() == 8);
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap first, toy.Score(view, criterion, 1));
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap again, toy.Score(view, criterion, 1));
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap other, toy.Score(view, criterion, 2));
  ModelView streaming = toy.Streaming();
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap streamed, toy.Score(streaming, criterion, 1));
  // Where the disturbance goes to 0 the gradient does, in proportion: there is none at the teacher.
  criterion.set_disturbance(1e-3);
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap small, toy.Score(view, criterion, 1));
  criterion.set_disturbance(2e-3);
  ASSERT_OK_AND_ASSIGN(const UnitScoreMap twice, toy.Score(view, criterion, 1));
  for (const auto& [group, scores] : first) {
    CHECK(scores.cost.sum().item<double>() > 0);
    CHECK(at::equal(scores.cost, again.at(group).cost));
    CHECK_FALSE(at::equal(scores.cost, other.at(group).cost));
    CHECK(at::equal(scores.cost, streamed.at(group).cost));
    CheckNear(twice.at(group).cost, 2 * small.at(group).cost, 0.02);
  }
}

TEST_CASE("output errors are those of the model that has lost the unit") {
  const auto env = NewMemEnv();
  testing::TinyWanOptions tiny;
  tiny.two_experts = false;
  tiny.vae = false;
  tiny.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model", tiny));
  std::vector<Values> inputs;
  std::vector<SampleInfo> infos;
  at::Generator generator = at::detail::createCPUGenerator(3);
  for (int64_t i = 0; i < 3; ++i) {
    inputs.push_back({{"hidden_states", at::randn({1, 4, 2, 4, 6}, generator)},
                      {"timestep", at::full({1}, 900 - 300 * i, at::kLong)},
                      {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
  }
  const SampleSet samples = testing::WriteSampleSet(
      *env, "/samples", "transformer", inputs, [&](size_t i, SampleInfo& sample) {
        sample.step = static_cast<int64_t>(i);
        sample.weight = 1 + static_cast<double>(i);
        sample.timestep = inputs[i]["timestep"].item<double>();
        infos.push_back(sample);
      });
  const auto open = [&](bool load) {
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
    ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
    if (load) REQUIRE_OK(view.LoadAll());
    return view;
  };
  const auto outputs_of = [&](const ModelView& view) {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> outputs;
    for (const Values& values : inputs) {
      outputs.push_back(
          ProgramOf(*view.FindComponent("transformer"))->Run(values).to(at::kDouble).flatten());
    }
    return outputs;
  };
  const std::vector<at::Tensor> original = outputs_of(open(true));
  PassContext context;
  context.samples = &samples;  // no disk: what is kept is kept in memory
  UnitCriterion criterion = Criterion(UnitCriterion::OUTPUT_ERROR);
  for (const std::string kind : {"self_attn.heads", "cross_attn.heads"}) {
    ModelView view = open(false);
    const std::vector<AxisGroup> groups = GroupsOf(view, kind);
    criterion.set_over(UnitCriterion::MEAN);
    ASSERT_OK_AND_ASSIGN(UnitScoreMap mean, ScoreUnits(view, groups, criterion, context));
    criterion.set_over(UnitCriterion::WORST);
    ASSERT_OK_AND_ASSIGN(UnitScoreMap worst, ScoreUnits(view, groups, criterion, context));
    for (const AxisGroup& group : groups) {
      for (int64_t unit = 0; unit < group.units; ++unit) {
        INFO(group.name << " without " << unit);
        ModelView pruned = open(true);
        std::vector<int64_t> kept;
        for (int64_t u = 0; u < group.units; ++u) {
          if (u != unit) kept.push_back(u);
        }
        REQUIRE_OK(pruned.KeepUnits(group.name, at::tensor(kept, at::kLong)));
        const std::vector<at::Tensor> outputs = outputs_of(pruned);
        at::Tensor error, size;
        double largest = 0;
        for (size_t i = 0; i < outputs.size(); ++i) {
          const at::Tensor own = outputs[i] - original[i];
          error = error.defined() ? error + infos[i].weight * own : infos[i].weight * own;
          size =
              size.defined() ? size + infos[i].weight * original[i] : infos[i].weight * original[i];
          largest = std::max(largest, own.square().sum().item<double>() /
                                          original[i].square().sum().item<double>());
        }
        const double trajectory =
            error.square().sum().item<double>() / size.square().sum().item<double>();
        CHECK(mean.at(group.name).cost[unit].item<double>() == Approx(trajectory).epsilon(1e-3));
        CHECK(worst.at(group.name).cost[unit].item<double>() == Approx(largest).epsilon(1e-3));
      }
      CHECK(mean.at(group.name).worst.numel() == group.units);
    }
  }
}

TEST_CASE("every score of recorded inputs takes units that reach through all blocks, and streams") {
  const auto env = NewMemEnv();
  testing::TinyWanOptions tiny;
  tiny.vae = false;
  tiny.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model", tiny));
  std::vector<Values> inputs;
  at::Generator generator = at::detail::createCPUGenerator(3);
  for (int64_t i = 0; i < 2; ++i) {
    inputs.push_back({{"hidden_states", at::randn({1, 4, 2, 4, 6}, generator)},
                      {"timestep", at::full({1}, 900 - 300 * i, at::kLong)},
                      {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
  }
  const SampleSet samples = testing::WriteSampleSet(
      *env, "/samples", "transformer_2", inputs, [](size_t i, SampleInfo& sample) {
        sample.timestep = 900.0 - 300.0 * static_cast<double>(i);
      });
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView streaming, folder.BuildView());
  ASSERT_OK_AND_ASSIGN(ModelView whole, folder.BuildView());
  REQUIRE_OK(whole.LoadAll());
  PassContext context;
  context.env = env.get();
  context.scratch = "/scratch";
  context.samples = &samples;
  for (const auto score : {UnitCriterion::ACTIVATION, UnitCriterion::TAYLOR, UnitCriterion::OBD,
                           UnitCriterion::OUTPUT_ERROR}) {
    INFO(UnitCriterion::Score_Name(score));
    const UnitCriterion criterion = Criterion(score);
    std::vector<AxisGroup> groups = GroupsOf(streaming, "width", "transformer_2");
    groups.push_back(GroupsOf(streaming, "ffn.channels", "transformer_2").back());
    const std::string before = streaming.Fingerprint();
    ASSERT_OK_AND_ASSIGN(const UnitScoreMap streamed,
                         ScoreUnits(streaming, groups, criterion, context));
    ASSERT_OK_AND_ASSIGN(const UnitScoreMap wanted, ScoreUnits(whole, groups, criterion, context));
    CHECK(streaming.Fingerprint() == before);
    for (const AxisGroup& group : groups) {
      CHECK(at::equal(streamed.at(group.name).cost, wanted.at(group.name).cost));
      CHECK(at::equal(streamed.at(group.name).worst, wanted.at(group.name).worst));
      CHECK(streamed.at(group.name).cost.min().item<double>() >= 0);
      CHECK(streamed.at(group.name).cost.sum().item<double>() > 0);
    }
    // The other expert has no samples.
    const absl::Status refused =
        ScoreUnits(streaming, GroupsOf(streaming, "ffn.channels"), criterion, context).status();
    CHECK(absl::IsFailedPrecondition(refused));
    CHECK(absl::StrContains(refused.message(), "transformer.blocks.0.ffn.channels"));
  }
}

TEST_CASE("scores that cannot be are refused, naming the group") {
  const auto env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "/model"));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  PassContext context;
  const std::vector<AxisGroup> vae = GroupsOf(view, ".channels", "vae");
  for (const auto score : {UnitCriterion::ACTIVATION, UnitCriterion::TAYLOR, UnitCriterion::OBD,
                           UnitCriterion::OUTPUT_ERROR}) {
    context.samples = nullptr;
    CHECK(absl::IsFailedPrecondition(ScoreUnits(view, vae, Criterion(score), context).status()));
    const SampleSet samples = testing::WriteSampleSet(
        *env, absl::StrCat("/samples", static_cast<int>(score)), "vae", {{{"x", at::ones({1})}}});
    context.samples = &samples;
    const absl::Status refused = ScoreUnits(view, vae, Criterion(score), context).status();
    CHECK_FALSE(refused.ok());
    CHECK(absl::StrContains(refused.message(), vae.front().name));
  }

  // What is not finite.
  const ScoreToy toy(7);
  ModelView broken = toy.View();
  ASSERT_OK_AND_ASSIGN(const at::Tensor bias, broken.FindTensor("toy.blocks.0.up.bias"));
  {
    const at::NoGradGuard no_grad;
    bias.detach()[0] = std::numeric_limits<double>::quiet_NaN();
  }
  for (const auto score : {UnitCriterion::L1, UnitCriterion::L2, UnitCriterion::ACTIVATION}) {
    const absl::Status refused = toy.Score(broken, Criterion(score)).status();
    CHECK(absl::IsInvalidArgument(refused));
    CHECK(absl::StrContains(refused.message(), "toy.blocks.0.channels"));
  }
  for (const auto score : {UnitCriterion::TAYLOR, UnitCriterion::OUTPUT_ERROR}) {
    CHECK(absl::IsInvalidArgument(toy.Score(broken, Criterion(score)).status()));
  }

  // Samples without what the data loss compares with.
  UnitCriterion data = Criterion(UnitCriterion::TAYLOR);
  data.set_loss(UnitCriterion::DATA);
  const ScoreToy fine(8);
  ModelView fine_view = fine.View();
  const absl::Status no_target = fine.Score(fine_view, data).status();
  CHECK(absl::IsFailedPrecondition(no_target));
  CHECK(absl::StrContains(no_target.message(), "target"));
}

TEST_CASE("criteria are resolved, and options that would count for nothing are refused") {
  using Change = std::function<void(UnitCriterion&)>;
  const std::vector<std::pair<std::string, Change>> wrong = {
      {"score", [](auto& c) { c.set_score(static_cast<UnitCriterion::Score>(17)); }},
      {"over", [](auto& c) { c.set_over(UnitCriterion::WORST); }},
      {"loss", [](auto& c) { c.set_loss(UnitCriterion::DATA); }},
      {"samples", [](auto& c) { c.set_samples(3); }},
      {"disturbance", [](auto& c) { c.set_disturbance(0.1); }},
      {"samples",
       [](auto& c) {
         c.set_score(UnitCriterion::ACTIVATION);
         c.set_samples(3);
       }},
      {"samples",
       [](auto& c) {
         c.set_score(UnitCriterion::TAYLOR);
         c.set_samples(0);
       }},
      {"disturbance",
       [](auto& c) {
         c.set_score(UnitCriterion::TAYLOR);
         c.set_disturbance(0);
       }},
      {"disturbance",
       [](auto& c) {
         c.set_score(UnitCriterion::OBD);
         c.set_disturbance(std::nan(""));
       }},
      {"disturbance", [](auto& c) {
         c.set_score(UnitCriterion::OBD);
         c.set_loss(UnitCriterion::DATA);
         c.set_disturbance(0.1);
       }}};
  for (const auto& [field, change] : wrong) {
    UnitCriterion criterion;
    change(criterion);
    const absl::Status status = ResolveCriterion(criterion, "criterion");
    INFO(criterion.ShortDebugString() << " " << status);
    CHECK(absl::IsInvalidArgument(status));
    CHECK(status.GetPayload(kOptionFieldPayload) == absl::Cord("criterion." + field));
  }
  for (int score = 0; score < UnitCriterion::Score_ARRAYSIZE; ++score) {
    UnitCriterion criterion = Criterion(static_cast<UnitCriterion::Score>(score));
    CHECK(NeedsSamples(criterion) == (score >= UnitCriterion::ACTIVATION));
    // What is resolved stays as it is.
    UnitCriterion again = criterion;
    REQUIRE_OK(ResolveCriterion(again, "criterion"));
    CHECK(again.SerializeAsString() == criterion.SerializeAsString());
  }
}

}  // namespace
}  // namespace wanlite
