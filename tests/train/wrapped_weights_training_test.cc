// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights that wrap others, in the trainer: what their roles promise holds there.

#include "src/core/libtorch.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"
#include "wanlite/model_view.h"
#include "wanlite/train.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite::train {
namespace {

using testing::MakeToyModel;
using testing::ToyModel;

// Brings a toy model's output to that of another one, training whatever its weights say trains.
class Imitation : public Objective {
 public:
  explicit Imitation(const std::shared_ptr<ToyModel>& model, bool muon = false) : model_(model) {
    ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create({testing::ToyComponent(model)}));
    TensorSelector selector;
    selector.muon = muon;
    ASSERT_OK_AND_ASSIGN(parameters_, TrainableTensors(view, selector));
  }
  std::vector<TrainedTensor> Parameters() override { return parameters_; }
  Terms Loss(int64_t step, int part, int parts) override {
    const at::Tensor x =
        at::randn({32, 4}, at::detail::createCPUGenerator(100 + step)).slice(0, part, 32, parts);
    at::Tensor wanted;
    {
      const at::NoGradGuard no_grad;
      wanted = teacher_->forward(x);
    }
    return {at::mse_loss(model_->forward(x), wanted), {}};
  }

 private:
  std::shared_ptr<ToyModel> model_;
  std::vector<TrainedTensor> parameters_;
  std::shared_ptr<ToyModel> teacher_ = MakeToyModel(1);
};

// Trains the model and returns its loss before and after.
std::pair<double, double> TrainToy(const std::shared_ptr<ToyModel>& model, bool muon = false) {
  Imitation objective(model, muon);
  const double before = objective.Loss(0, 0, 1).total.item<double>();
  LoopOptions options;
  options.steps = 150;
  options.batch = 32;
  options.learning_rate = 0.01;
  options.weight_decay = 0.1;
  options.max_gradient_norm = 1.0;
  options.ema_decay = 0.9;
  options.state_every = 50;
  const auto env = NewMemEnv();
  TrainRun run;
  run.env = env.get();
  run.what = "toy";
  run.state_dir = "state";
  REQUIRE_OK(Train(options, objective, run));
  return {before, objective.Loss(0, 0, 1).total.item<double>()};
}

using Wrap = std::function<absl::StatusOr<std::unique_ptr<LinearWeight>>(
    std::unique_ptr<LinearWeight> base)>;

void WrapHidden(ToyModel& model, const Wrap& wrap) {
  for (const auto& block : model.blocks) {
    for (const auto& linear : {block->up, block->gate, block->down}) {
      ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> base, linear->weight().Share());
      ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> weight, wrap(std::move(base)));
      linear->SetWeight(std::move(weight));
    }
  }
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Mask(std::unique_ptr<LinearWeight> base) {
  const at::Tensor matrix = base->Dequantize();
  return MakeMaskedWeight(std::move(base), matrix.abs() > matrix.abs().median());
}

TEST_CASE("a masked weight trains and keeps its zeros, whichever optimizer writes below it") {
  for (const bool muon : {false, true}) {
    const auto model = MakeToyModel(1);
    WrapHidden(*model, Mask);
    const at::Tensor before = model->blocks[0]->up->weight().Dequantize();
    const auto [first, last] = TrainToy(model, muon);
    INFO((muon ? "Muon" : "AdamW") << ": " << first << " -> " << last);
    CHECK(last < 0.5 * first);
    const at::Tensor after = model->blocks[0]->up->weight().Dequantize();
    CHECK(at::equal(after.eq(0), before.eq(0)));
    CHECK_FALSE(at::equal(after, before));
    ASSERT_OK_AND_ASSIGN(const auto merged, model->blocks[0]->up->weight().Merge());
    CHECK(at::equal(*merged->dense(), after));
    CHECK(merged->NonZero() < 0.6);
  }
}

TEST_CASE("a low-rank branch trains over int8, whose bits stay") {
  const auto model = MakeToyModel(2);
  for (const auto& parameter : model->parameters()) parameter.set_requires_grad(false);
  std::map<std::string, at::Tensor> frozen;
  WrapHidden(
      *model,
      [](std::unique_ptr<LinearWeight> base) -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
        ASSERT_OK_AND_ASSIGN(auto int8, MakeInt8Weight(base->Dequantize(), 4));
        const int64_t out = int8->out_features(), in = int8->in_features();
        return MakeLowRankWeight(std::move(int8),
                                 at::randn({2, in}, at::detail::createCPUGenerator(3)),
                                 at::zeros({out, 2}), 2);
      });
  for (const auto& item : model->named_parameters()) {
    if (!item.value().requires_grad()) frozen[item.key()] = item.value().clone();
  }
  Imitation objective(model);
  for (const TrainedTensor& trained : objective.Parameters()) {
    INFO(trained.name);
    CHECK(trained.name.find("low_rank_") != std::string::npos);
  }
  CHECK(objective.Parameters().size() == 12);
  const auto [first, last] = TrainToy(model);
  INFO(first << " -> " << last);
  CHECK(last < 0.7 * first);
  CHECK(frozen.size() > 12);
  for (const auto& [name, value] : frozen) {
    INFO(name);
    CHECK(at::equal(model->named_parameters()[name], value));
  }
}

TEST_CASE("a model that was trained under fake quantization is the int8 model, to the bit") {
  for (const bool learned : {false, true}) {
    const auto model = MakeToyModel(2);
    WrapHidden(*model, [&](std::unique_ptr<LinearWeight> base) {
      return MakeFakeQuantWeight(std::move(base), "int8 { rotation: CONVROT rotation_group: 4 }",
                                 learned);
    });
    const auto [first, last] = TrainToy(model);
    INFO(first << " -> " << last);
    CHECK(last < 0.5 * first);
    const at::NoGradGuard no_grad;
    const at::Tensor x = at::randn({9, 4}, at::detail::createCPUGenerator(7));
    const at::Tensor trained = model->forward(x);
    WrapHidden(*model, [](std::unique_ptr<LinearWeight> base) { return base->Merge(); });
    CHECK(std::string(model->blocks[1]->down->weight().format()) == "int8");
    CHECK(at::equal(model->forward(x), trained));
  }
}

TEST_CASE("scales that learn their step are trained at a rate of their own, without decay") {
  const auto model = MakeToyModel(2);
  WrapHidden(*model, [](std::unique_ptr<LinearWeight> base) {
    return MakeFakeQuantWeight(std::move(base), "int8 { rotation: CONVROT rotation_group: 4 }",
                               /*learned=*/true);
  });
  std::vector<Component> components{testing::ToyComponent(model)};
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  TensorSelector selector;
  selector.scale_rate = 0.25;
  ASSERT_OK_AND_ASSIGN(const std::vector<TrainedTensor> tensors, TrainableTensors(view, selector));
  int scales = 0;
  for (const TrainedTensor& trained : tensors) {
    INFO(trained.name);
    const bool scale = trained.name.find("scale") != std::string::npos;
    scales += scale;
    CHECK(trained.rate_scale == (scale ? 0.25 : 1.0));
    if (scale) CHECK_FALSE(trained.decay);
  }
  CHECK(scales == 6);
}

}  // namespace
}  // namespace wanlite::train
